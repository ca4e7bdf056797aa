"""The pictures of a page, point by point; and its colours, also as the colour-blind see them."""

import json
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrun.core.option import RunError
from fedrun.report.comparison_curve import AXES, Curve
from fedrun.report.page.chart import (
    BOTTOM,
    HEIGHT,
    WIDTH,
    Line,
    axes_of,
    chart,
    numbers,
    spread_out,
)
from fedrun.report.page.confusion import confusion
from fedrun.report.page.held import MOST_CLIENTS, held_picture, read_held
from fedrun.report.page.names import short_names
from fedrun.report.page.palette import DARK, LIGHT, SERIES, SHADES, shade
from fedrun.report.page.rows import Row, rows_picture
from fedrun.report.page.svg import element, tick_texts, ticks

SIZES = st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-6)


def line(name: str, mean: list[float], look: int | None = 0, *, half: float = 0.0, n: int = 1):
    y = np.array(mean)
    x = np.arange(1.0, len(y) + 1)
    return Line(Curve(name, n, x, y, y - half, y + half, False), name, look)


def points(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    """The corners of every path of a class."""
    found = []
    for path in ElementTree.fromstring(svg).iter("path"):
        if path.get("class", "").split()[:1] == [kind]:
            corners = path.get("d").removeprefix("M").removesuffix("Z").split("L")
            found.append([tuple(map(float, corner.split())) for corner in corners])
    return found


@given(SIZES, SIZES)
def test_ticks_are_round_even_inside_and_few(one: float, two: float):
    low, high = sorted((one, two))
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-6):
        return
    found = ticks(low, high)
    assert 1 <= len(found) <= 6
    room = high - low
    assert all(low - 1e-6 * room <= tick <= high + 1e-6 * room for tick in found)
    steps = [after - before for before, after in pairwise(found)]
    assert all(step == pytest.approx(steps[0], rel=1e-3) for step in steps)
    texts = tick_texts(found)
    assert len(texts) == len(found)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]), (1, 10, ["2", "4", "6", "8", "10"]),
     (0.93, 0.96, ["0.93", "0.94", "0.95", "0.96"]),
     (3, 3, ["3"]), (0, 200_000, ["0", "50,000", "100,000", "150,000", "200,000"])],
)  # fmt: skip
def test_ticks_as_one_would_write_them(low: float, high: float, expected: list[str]):
    assert tick_texts(ticks(low, high)) == expected


def test_a_line_goes_through_its_points():
    svg = str(chart("c", "t", "w", [line("a", [0.0, 1.0, 0.5])], "round", "y"))
    (found,) = points(svg, "line")
    axes = axes_of([line("a", [0.0, 1.0, 0.5])], None)
    expected = [(axes.at_x(x), axes.at_y(y)) for x, y in ((1, 0.0), (2, 1.0), (3, 0.5))]
    assert np.array(found) == pytest.approx(np.array(expected), abs=0.06)
    assert found[0][1] > found[2][1] > found[1][1]  # up is more
    assert (found[0][1] + found[1][1]) / 2 == pytest.approx(found[2][1], abs=0.1)


def test_there_is_no_half_round():
    svg = str(chart("c", "t", "w", [line("a", [0.0, 1.0, 0.5])], "round", "y"))
    assert ">2</text>" in svg
    assert "1.5" not in svg
    assert ">1.5</text>" in str(chart("c", "t", "w", [line("a", [0, 1, 0.5])], "MB", "y"))


def test_a_band_is_as_high_as_its_interval():
    one = line("a", [0.5, 0.5], half=0.1, n=3)
    svg = str(chart("c", "t", "w", [one], "round", "y"))
    (found,) = points(svg, "band")
    axes = axes_of([one], None)
    ys = sorted({y for _, y in found})
    assert ys == pytest.approx([axes.at_y(0.6), axes.at_y(0.4)], abs=0.06)


def test_a_wide_band_does_not_press_the_lines_flat():
    axes = axes_of([line("a", [0.4, 0.6], half=50, n=2)], None)
    assert axes.y[1] - axes.y[0] < 0.5


@pytest.mark.parametrize("rounds", [2, 3, 5, 9, 12, 18, 19, 20, 25, 100, 199, 250, 1000])
def test_ticks_of_rounds_are_whole(rounds: int):
    one = line("a", [float(at) for at in range(rounds)])
    svg = str(chart("c", "t", "w", [one], AXES["rounds"], "y"))
    texts = [text for text in ElementTree.fromstring(svg).iter("text")
             if text.get("y") == f"{HEIGHT - BOTTOM + 18:g}"]  # fmt: skip
    assert len(texts) >= 2
    assert all((text.text or "").replace(",", "").isdigit() for text in texts)


def test_many_points_are_thinned_and_the_last_one_stays():
    lines = [line(str(at), [float(i) for i in range(1000)], at) for at in range(8)]
    found = numbers(lines, "round", None)
    assert len(found["x"]) == 1  # shared by all
    assert len(found["x"][0]) <= 6000 / 8 + 2
    assert found["x"][0][-1] == 1000
    assert found["series"][0]["y"][-1] == 999


def test_groups_without_a_colour_lie_behind_and_have_no_name():
    svg = str(chart("c", "t", "w", [line("seen", [0, 1]), line("grey", [0, 1], None)], "x", "y"))
    names = [group.get("class") for group in ElementTree.fromstring(svg).iter("g")]
    assert names == ["other", "look1", "look1 end"]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12).map(sorted))
def test_names_are_spread_out(places: list[float]):
    found = spread_out(places, 0, 300, 15)
    assert len(found) == len(places)
    assert all(after - before >= 15 - 1e-6 for before, after in pairwise(found))
    assert found[0] >= -1e-6
    assert found[-1] <= 300 + 1e-6
    if all(after - before >= 15 for before, after in pairwise(places)):
        assert found == pytest.approx(places)


@given(st.lists(st.text("ab=. ", min_size=1, max_size=60), unique=True, min_size=1, max_size=9))
def test_short_names_are_short(names: list[str]):
    found = short_names(names)
    assert len(found) == len(names)
    assert all(len(name) <= 27 for name in found)


def test_short_names_stay_different_and_keep_the_method():
    names = [f"{method} algorithm.mu={mu} local.momentum=0.9 partition.alpha=0.5"
             for method in ("fedprox", "scaffold") for mu in (0.1, 1)]  # fmt: skip
    assert short_names(names) == ["fedprox mu=0.1 alpha=0.5", "fedprox mu=1 alpha=0.5",
                                  "scaffold mu=0.1 alpha=0.5",
                                  "scaffold mu=1 alpha=0.5"]  # fmt: skip


def test_rows_stand_where_their_values_are():
    rows = [Row("a", "a", 0, [0.0, 1.0], (0.25, 0.75), 0.5), Row("b", "b", 1, [0.5])]
    root = ElementTree.fromstring(str(rows_picture("r", "t", "w", rows, "value")))
    dots = [[float(dot.get("cx")) for dot in group.iter("circle")] for group in root.iter("g")]
    assert (dots[0][0] + dots[0][1]) / 2 == pytest.approx(dots[1][0], abs=0.1)
    assert [float(dot.get("cy")) for dot in root.iter("circle")] == [21, 21, 47]


def test_an_element_is_escaped():
    wild = "</text><script>\"'&"
    for made in (element("text", wild), element("text", x=wild)):
        root = ElementTree.fromstring(str(made))
        assert wild in (root.text, root.get("x"))


def written(folder: Path, **facts: object) -> Path:
    (folder / "partition.json").write_text(json.dumps({"rule": "r", **facts}))
    return folder


def test_who_holds_what_by_hand(tmp_path: Path):
    held = read_held(written(tmp_path, clients=2, classes=["a", "b"], train=[[8, 0], [1, 4]]))
    assert held.sizes.tolist() == [8, 5]
    root = ElementTree.fromstring(str(held_picture("h", held)))
    shades = {path.get("class"): path.get("d").count("M") for path in root.iter("path")}
    assert shades == {"shade8": 1, "shade1": 1, "shade4": 1}  # of 8: 8, 1 and 4
    assert "the smallest 5, the median 6.5, the largest 8" in held.summary


def test_of_many_clients_the_first_are_drawn_and_all_are_told(tmp_path: Path):
    count = 12_000
    client = np.arange(count)
    cells = np.stack([client, client % 3, client % 5 + 1], axis=1).astype(np.int32)
    np.savez(tmp_path / "partition.npz", train_cells=cells)
    written(tmp_path, clients=count, classes=["a", "b", "c"], counts="partition.npz: ...")
    held = read_held(tmp_path)
    assert held.counts.shape == (MOST_CLIENTS, 3)
    assert held.counts[4].tolist() == [0, 5, 0]
    assert int(held.sizes.sum()) == 36_000
    assert "12,000 clients hold 36,000" in held.summary
    assert "the first 200 of 12,000" in str(held_picture("h", held))


def test_many_labels_stand_together(tmp_path: Path):
    names = [f"l{at}" for at in range(100)]
    held = read_held(written(tmp_path, clients=1, classes=names, train=[[1] * 100]))
    picture = str(held_picture("h", held))
    assert "l0 to l2" in picture
    assert "l96 to l98" in picture


@pytest.mark.parametrize("cells", [[[0, 3, 1]], [[0, 0]], [0]])
def test_cells_of_no_client_or_label_are_a_run_error(tmp_path: Path, cells):
    np.savez(tmp_path / "partition.npz", train_cells=np.array(cells, np.int32))
    told = written(tmp_path, clients=12_000, classes=["a", "b"], counts="partition.npz")
    with pytest.raises(RunError, match="is damaged"):
        read_held(told)


@pytest.mark.parametrize("content", [b"no zip", b"PK\x03\x04 and no more"])
def test_a_broken_partition_is_a_run_error(tmp_path: Path, content: bytes):
    (tmp_path / "partition.npz").write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        read_held(written(tmp_path, clients=12_000, classes=["a"], counts="partition.npz"))


def test_confusion_by_hand():
    found = confusion(
        "c", "t", ["a", "b"], [np.array([[3, 1], [0, 4]]), np.array([[4, 0], [2, 2]])]
    )
    assert [[cell.count for cell in row] for row in found.rows] == [[7, 1], [2, 6]]
    assert [[cell.step for cell in row] for row in found.rows] == [[7, 1], [2, 6]]  # of 8 in a row
    assert found.pairs == [("b", "a", 2), ("a", "b", 1)]
    assert (found.runs, found.examples, found.picture) == (2, 16, None)


def test_many_classes_make_a_picture():
    names = [f"class {at}" for at in range(62)]
    found = confusion("c", "t", names, [np.eye(62, dtype=np.int64) * 5])
    assert found.rows == []
    root = ElementTree.fromstring(str(found.picture))
    assert [path.get("d").count("M") for path in root.iter("path")] == [62]
    assert len(str(found.picture)) < 20_000


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, two: str) -> float:
    a, b = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, two))
    return (b + 0.05) / (a + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_letters_and_lines_stand_out(colours: dict[str, str]):
    for letters in ("ink", "muted", "accent", "warn"):
        assert contrast(colours[letters], colours["paper"]) >= 4.5, letters
    assert contrast(colours["accent"], colours["wash"]) >= 4.5
    assert contrast(colours["ink"], colours["wash"]) >= 4.5
    assert contrast(colours["warn"], colours["warn-wash"]) >= 4.5
    for step in range(1, SHADES + 1):
        assert contrast(colours["ink"], shade(colours, step)) >= 4.5
    for at in range(1, SERIES + 1):
        assert contrast(colours[f"c{at}"], colours["paper"]) >= 3, at


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


def lab(colour: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB, D65."""
    xyz = np.clip(colour, 0, 1) @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", BLIND)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_the_first_colours_differ_to_the_colour_blind_too(colours: dict[str, str], sight: str):
    seen = [lab(np.array(BLIND[sight]) @ linear(colours[f"c{at}"])) for at in range(1, SERIES + 1)]
    for one, two in combinations(range(SERIES), 2):
        apart = float(np.linalg.norm(seen[one] - seen[two]))
        # Those that come close have other dashes: after the fourth they begin again.
        assert apart > (14 if max(one, two) < 4 else 5) or one % 4 != two % 4, (one + 1, two + 1)


def test_pictures_are_whole_xml_of_their_size():
    svg = str(
        chart("c", "<t>", "w & w", [line("a<b", [1, 2]), line("c", [2, 3], 1)], "x", "y", 1.5)
    )
    root = ElementTree.fromstring(svg)
    assert root.get("viewBox") == f"0 0 {WIDTH:g} {HEIGHT:g}"
    assert root.get("role") == "img"
    assert root.find("title").text == "<t>"
    assert [text.text for text in root.iter("text")].count("target 1.5") == 1
