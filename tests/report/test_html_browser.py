"""The page as a real browser shows it: light and dark, wide and narrow, with script and without."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from fedrun.cli.report import question
from fedrun.report.page.content import gather
from fedrun.report.page.page import page

pytestmark = pytest.mark.slow

# Every letter that is shown against what lies behind it, by WCAG 2.
CONTRAST = """
(() => {
  const parts = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return numbers.length === 3 ? [...numbers, 1] : numbers;
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const v = c[i] / 255;
    return sum + weight * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const behind = (node) => {
    const layers = [];
    for (let at = node; at instanceof Element; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (at instanceof HTMLElement && colour[3] > 0) layers.push(colour);
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const bad = [];
  let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim()) continue;
    if (node.closest("script,style,title,desc")) continue;
    const style = getComputedStyle(node);
    const drawn = node instanceof SVGElement;
    const paper = behind(node), letters = over(parts(drawn ? style.fill : style.color), paper);
    const [a, b] = [light(letters), light(paper)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    seen += 1;
    if (ratio < 4.5) bad.push([walk.currentNode.textContent.trim().slice(0, 40), ratio]);
  }
  return {seen, bad};
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, made_run) -> dict[str, Path]:
    """By name: one run, twenty, some under privacy, one that failed, and wild texts."""
    folder = tmp_path_factory.mktemp("runs")
    wild = "<img src=//example.org/x onerror=alert(1)>\u202e" + "long" * 800
    for at in range(20):
        more = {f"client/accuracy_{part}": [0.2, 0.3 + at / 50, 0.5 + at / 50]
                for part in ("mean", "worst10", "best10")}  # fmt: skip
        curve = [0.2, 0.4 + at / 50, 0.5 + at / 40]
        lr = 0.1 + at // 2 / 100
        many_clients(made_run(folder / "twenty" / str(at), curve, seed=at % 2, lr=lr, more=more))
    many_clients(made_run(folder / "one", [0.2, 0.4, 0.7]))
    for seed in range(3):
        for unit, lr in (("<b>client</b>", 0.1), (wild, 0.2)):
            told = {"unit": unit, "relation": "add_remove", "delta": 1e-5, "trust": wild,
                    "epsilon": 3.0, "accountant": "pld", "version": "1", "real": False,
                    "rng": "seeded", "leaky": True, "releases": 3, "repeated": 0,
                    "caveats": ["a caveat", wild]}  # fmt: skip
            run = made_run(folder / "private" / f"{lr}-{seed}", [0.2, 0.3, 0.4], seed=seed, lr=lr,
                           more={"privacy/epsilon": [1.0, 2.0, 3.0]},
                           config={"privacy": {"name": "central"}, "model": {"name": wild}},
                           manifest={"command": wild, "engine": {"how": wild}})  # fmt: skip
            many_clients(run)
            (run / "summary.json").write_text(json.dumps({"privacy": told}))
    made_run(folder / "failed", [], status="failed", config={"rounds": 3},
             manifest={"error": wild})  # fmt: skip
    found = {}
    for name in ("one", "twenty", "private", "failed"):
        asked = question(None, "last", None, None, False, wild if name == "failed" else None, False)
        found[name] = folder / f"{name}.html"
        text = page(gather([folder / name], asked), [folder / name])
        found[name].write_text(text, encoding="utf-8")
    return found


def many_clients(run: Path) -> None:
    """Partition and evaluation: ten classes, whose confusion is a table, and thirty clients."""
    names = [f"client {at}" for at in range(30)]
    counts = [[(client * label) % 7 for label in range(10)] for client in range(30)]
    holds = {"rule": "dirichlet", "clients": 30, "classes": [f"class {at}" for at in range(10)],
             "names": names, "train": counts}  # fmt: skip
    matrix = [[90 if a == b else (a * b) % 9 for a in range(10)] for b in range(10)]
    part = {"figure": "accuracy", "values": [at / 30 for at in range(30)], "confusion": matrix}
    kept = {"schema": 1, "model": "2", "classes": holds["classes"], "global": part}
    (run / "partition.json").write_text(json.dumps(holds))
    (run / "evaluation.json").write_text(json.dumps(kept))


@pytest.mark.parametrize("name", ["one", "twenty", "private", "failed"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_errors_no_requests_and_letters_that_can_be_read(browser, pages, name, dark):
    browser.open(pages[name], dark=dark)
    assert browser.troubles() == []
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(19, 22, 26)" if dark else "rgb(255, 255, 255)")
    browser.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    found = browser.value(CONTRAST)
    assert found["seen"] > 80
    assert found["bad"] == []


@pytest.mark.parametrize("name", ["one", "twenty", "private", "failed"])
@pytest.mark.parametrize("width", [320, 380, 820, 1600])
def test_no_page_is_wider_than_its_window(browser, pages, name: str, width: int):
    browser.open(pages[name], width=width)
    browser.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.value("document.documentElement.scrollWidth") <= width
    # Letters in pictures stay letters that can be read: at half of 12 pixels they are none.
    sizes = browser.value(
        "[...document.querySelectorAll('.wide > svg')].map((s) => "
        "s.getBoundingClientRect().width / s.viewBox.baseVal.width)"
    )
    assert all(size > 0.8 for size in sizes)


def test_pictures_have_a_name_and_letters_inside(browser, pages):
    browser.open(pages["twenty"])
    found = browser.value(
        "[...document.querySelectorAll('svg[role=img]')].map((s) => [s.textContent.length,"
        " s.getAttribute('aria-labelledby').split(' ').map((id) =>"
        " document.getElementById(id).textContent.length),"
        " s.querySelectorAll('text').length, s.getBoundingClientRect().height])"
    )
    assert len(found) > 4
    for _, told, texts, height in found:
        assert min(told) > 10
        assert texts > 5
        assert height > 60
    tree = browser.ask("Accessibility.getFullAXTree")["nodes"]
    named = [n["name"]["value"] for n in tree if n.get("role", {}).get("value") in ("image", "img")]
    assert any("test/accuracy by round" in name for name in named)
    assert all(named)


def test_names_in_pictures_lie_inside_and_not_on_each_other(browser, pages):
    for name in ("one", "twenty", "private"):
        browser.open(pages[name])
        boxes = browser.value(
            "[...document.querySelectorAll('.wide > svg')].map((s) => { const f ="
            " s.getBoundingClientRect(); return [...s.querySelectorAll('text')].map((t) => { const"
            " r = t.getBoundingClientRect(); return [r.left - f.left, f.right - r.right,"
            " r.top - f.top, f.bottom - r.bottom]; }); })"
        )
        outside = [box for boxes_of in boxes for box in boxes_of if min(box) < -2]
        assert outside == []
        ends = browser.value(
            "[...document.querySelector('svg.chart').querySelectorAll('.end text')]"
            ".map((t) => t.getBoundingClientRect().top).sort((a, b) => a - b)"
        )
        assert all(below - above > 10 for above, below in pairwise(ends))


def test_the_script_sorts_hides_and_tells(browser, pages):
    browser.open(pages["twenty"])
    column = ("[...document.querySelectorAll('#results tbody tr')]"
              ".map((row) => Number(row.cells[1].textContent))")  # fmt: skip
    before = browser.value(column)
    click = "document.querySelectorAll('#results th button')[1].click()"
    browser.value(click)
    assert browser.value(column) == sorted(before, reverse=True)
    browser.value(click)
    assert browser.value(column) == sorted(before)
    browser.value(click)
    assert browser.value(column) == before
    browser.value("document.querySelector('.legend button').click()")
    assert browser.value("document.querySelectorAll('svg.chart [data-series][hidden]').length") == 2
    browser.value(
        "(() => { const s = document.querySelector('svg.chart'), r = s.getBoundingClientRect();"
        " s.dispatchEvent(new PointerEvent('pointermove', {clientX: r.left + r.width / 3})); })()"
    )
    told = browser.value("document.querySelector('.tip').innerText")
    assert told.startswith("round 2")
    assert len(told.splitlines()) > 6
    assert browser.troubles() == []


def test_without_a_script_all_is_there(browser, pages):
    browser.open(pages["twenty"], script=False)
    assert browser.troubles() == []
    root = browser.ask("DOM.getDocument", depth=-1)["root"]["nodeId"]
    html = browser.ask("DOM.getOuterHTML", nodeId=root)["outerHTML"]
    assert "<button" not in html
    assert html.count('class="line"') > 20
    assert '<th scope="row">' in html


def test_paper_shows_it_in_light_and_whole(browser, pages):
    browser.open(pages["twenty"], dark=True)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.value(CONTRAST)["bad"] == []
