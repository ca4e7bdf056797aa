"""`fedrun.load`, and a run as a notebook shows it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import fedrun
from fedrun.experiment.picture import curve, html


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.replace("<br>", "<br/>"))


def test_a_run_is_loaded_from_its_path(tmp_path: Path, made_run):
    run = fedrun.load(str(made_run(tmp_path / "one", [0.5, 0.6])))
    assert (run.status, len(run.metrics)) == ("finished", 2)
    with pytest.raises(fedrun.ConfigError, match="is no run directory"):
        fedrun.load(tmp_path / "nothing")
    with pytest.raises(fedrun.ConfigError, match=r"has no manifest\.json"):
        fedrun.load(tmp_path)


def test_the_package_alone_imports_no_pytorch():
    code = "import sys, fedrun; assert 'load' in fedrun.__all__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_table_has_last_and_best(tmp_path: Path, made_run):
    run = fedrun.load(made_run(tmp_path / "one", [0.5, 0.75, 0.625]))
    tree = parsed(run._repr_html_())
    rows = [[cell.text for cell in row] for row in tree.iter("tr")]
    assert rows == [["figure", "last", "best", "in round"],
                    ["test/accuracy", "0.625", "0.75", "2"],
                    ["test/loss", "0.375", "0.25", "2"]]  # fmt: skip
    assert "finished, round 3 of 3" in run._repr_html_()


def test_the_curve_stands_where_its_numbers_are():
    text = curve("test/accuracy", [(1, 0.5), (2, 0.75), (3, 1.0)])
    points = re.search(r'points="([^"]*)"', text)
    assert points is not None
    x, y = zip(*([float(n) for n in point.split(",")] for point in points[1].split()), strict=True)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1])
    assert y[0] - y[1] == pytest.approx(y[1] - y[2])  # upwards
    assert y[0] > y[2]
    assert 'aria-label="test/accuracy from round 1 to 3: 0.5 to 1"' in text
    assert "<script" not in text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_a_long_run_is_thinned_and_its_ends_stay():
    text = curve("test/loss", [(at, 1 / at) for at in range(1, 5001)])
    assert len(re.findall(r"[\d.]+,[\d.]+", text)) <= 401
    assert len(text) < 10_000
    assert ">1<" in text
    assert ">5000<" in text


@pytest.mark.parametrize("accuracy", [[], [0.5], [None, 0.5], [0.5, 0.5]])
def test_runs_of_few_rounds_or_one_value(tmp_path: Path, made_run, accuracy):
    run = fedrun.load(made_run(tmp_path / "one", accuracy, status="interrupted"))
    tree = parsed(run._repr_html_())
    assert tree.tag == "div"
    drawn = next(tree.iter("{http://www.w3.org/2000/svg}svg"), None) is not None
    assert drawn == (accuracy == [0.5, 0.5])


def test_everything_from_files_is_escaped(tmp_path: Path):
    evil = "<script>alert(1)</script>"
    lines = [json.loads(json.dumps({"round": at, f"test/{evil}": 0.5, "test/loss": 0.1}))
             for at in (1, 2)]  # fmt: skip
    text = html(evil, evil, 2, lines)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3


def test_a_run_at_work_may_be_in_the_middle_of_a_line(tmp_path: Path, made_run):
    for status in ("finished", "running"):
        path = made_run(tmp_path / status, [0.5, 0.6], status=status)
        with (path / "metrics.jsonl").open("a") as file:
            file.write('{"round": 3, "te')
    assert "running, round 2 of 2" in fedrun.load(tmp_path / "running")._repr_html_()
    assert len(fedrun.load(tmp_path / "running").metrics) == 2
    with pytest.raises(fedrun.RunError, match="damaged at line 3"):  # nobody is writing there
        fedrun.load(tmp_path / "finished")._repr_html_()
