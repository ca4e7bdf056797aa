"""Wine recognition (Aeberhard and Forina 1992): three growers' wines, inside scikit-learn."""

from __future__ import annotations

from fedrun.core.dataset import Dataset
from fedrun.data._bundled import bundled_table
from fedrun.data._split import OpenFraction

COLUMNS = (
    "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols",
    "flavanoids", "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue",
    "od280/od315_of_diluted_wines", "proline",
)  # fmt: skip


def wine(*, test_fraction: OpenFraction = 0.2, split_seed: int = 0) -> Dataset:
    """178 wines of three growers, 13 z-scored chemical measurements; needs no file.

    test_fraction: share of the rows held out as the test set (above 0 and below 1).
    split_seed: draws which rows these are; stratified by class and apart from the run's seed.
    """
    return bundled_table(
        "wine",
        "wine_data.csv",
        classes=("class_0", "class_1", "class_2"),
        columns=COLUMNS,
        test_fraction=test_fraction,
        split_seed=split_seed,
    )
