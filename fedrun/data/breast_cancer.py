"""Wisconsin diagnostic breast cancer (Street, Wolberg, Mangasarian 1993), inside scikit-learn."""

from __future__ import annotations

from fedrun.core.dataset import Dataset
from fedrun.data._bundled import bundled_table
from fedrun.data._split import OpenFraction

MEASURED = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
    "concave points", "symmetry", "fractal dimension",
)  # fmt: skip
COLUMNS = tuple(
    pattern.format(name) for pattern in ("mean {}", "{} error", "worst {}") for name in MEASURED
)


def breast_cancer(*, test_fraction: OpenFraction = 0.2, split_seed: int = 0) -> Dataset:
    """569 tumours, 30 z-scored measurements: malignant (0) or benign (1); needs no file.

    test_fraction: share of the rows held out as the test set (above 0 and below 1).
    split_seed: draws which rows these are; stratified by class and apart from the run's seed.
    """
    return bundled_table(
        "breast_cancer",
        "breast_cancer.csv",
        classes=("malignant", "benign"),
        columns=COLUMNS,
        test_fraction=test_fraction,
        split_seed=split_seed,
    )
