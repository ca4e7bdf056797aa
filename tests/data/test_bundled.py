"""What lies inside scikit-learn: the bits of its own loaders, without importing it."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from sklearn import __version__
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from fedrun.core.option import RunError
from fedrun.data import _bundled
from fedrun.data._bundled import bundled_numbers, bundled_rows, bundled_source
from fedrun.data.digits import digits

CLASSES = [
    ("digits.csv.gz", 0, load_digits),
    ("breast_cancer.csv", 1, load_breast_cancer),
    ("wine_data.csv", 1, load_wine),
]


@pytest.mark.parametrize(("file", "header", "loader"), CLASSES)
def test_classes_are_those_of_the_loader_to_the_bit(file, header, loader):
    x, y = bundled_rows(file, delimiter=",", header=header)
    known_x, known_y = loader(return_X_y=True)
    assert (x.dtype, x.shape, y.dtype) == (np.float64, known_x.shape, np.int64)
    assert x.tobytes() == known_x.tobytes()
    assert y.tolist() == known_y.tolist()


def test_diabetes_is_that_of_the_loader_to_the_bit():
    known_x, known_y = load_diabetes(return_X_y=True, scaled=False)
    assert bundled_numbers("diabetes_data_raw.csv.gz").tobytes() == known_x.tobytes()
    assert bundled_numbers("diabetes_target.csv.gz").tobytes() == known_y.tobytes()


def test_source_names_the_version():
    assert bundled_source("wine") == f"scikit-learn {__version__}, sklearn.datasets.load_wine"


def test_scikit_learn_is_not_imported():
    code = (
        "import sys; from fedrun.data import breast_cancer, diabetes, digits, wine\n"
        "breast_cancer.breast_cancer(), diabetes.diabetes(), digits.digits(), wine.wine()\n"
        "sys.exit('sklearn' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    package = ModuleSpec("sklearn", None, is_package=True)
    package.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(_bundled, "find_spec", lambda name: package)
    with pytest.raises(RunError) as told:
        digits()
    for part in (__version__, "digits.csv.gz", str(tmp_path), "pip install"):
        assert part in str(told.value)


def test_scikit_learn_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_bundled, "find_spec", lambda name: None)
    monkeypatch.setattr(_bundled, "version", version)
    with pytest.raises(RunError, match=r"not installed\.\nMend it with: pip install"):
        digits()
