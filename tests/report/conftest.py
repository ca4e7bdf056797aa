"""What the tests of pages share: runs with all their files, pages read back, and a real browser.

Chromium is spoken to over its own pipe (`--remote-debugging-pipe`): JSON texts, each ended by a
zero byte.
"""

import fcntl
import json
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fedrun.cli.report import question
from fedrun.report.page.content import Content, gather
from fedrun.report.page.page import page

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome",
         "google-chrome-stable", "chrome")  # fmt: skip
FOUND = next((path for name in NAMES if (path := shutil.which(name))), None)
PARTITION = {"rule": "dirichlet/per_class@1", "seed": 0, "sha256": "1", "clients": 3,
             "classes": ["cat", "dog"], "names": ["Ann", "Bob", "Eve"],
             "train": [[5, 0], [0, 7], [2, 2]], "test": [[1, 0], [0, 1], [1, 1]]}  # fmt: skip
EVALUATION = {
    "schema": 1, "model": "2", "classes": ["cat", "dog"],
    "global": {"figure": "accuracy", "examples": 4, "clients": 3, "names": ["Ann", "Bob", "Eve"],
               "values": [1.0, 0.0, 0.5], "sizes": [1, 1, 2], "confusion": [[2, 0], [1, 1]]},
}  # fmt: skip


class Texts(HTMLParser):
    """The texts of a page, by the section that they stand in, and its table rows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.section, self.texts, self.rows, self.silent = "", {}, {}, False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "section":
            self.section = attrs["id"]
        self.silent = tag in ("script", "style")
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th"):
            self.rows[self.section][-1].append("")
            self.cell = True
        self.cell = tag in ("td", "th") or getattr(self, "cell", False)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = False
        self.silent = False

    def handle_data(self, data):
        if self.silent:
            return
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if getattr(self, "cell", False):
            self.rows[self.section][-1][-1] += data.strip()


@pytest.fixture(scope="session")
def evaluation() -> dict[str, Any]:
    """What `furnish` writes as `evaluation.json`."""
    return EVALUATION


@pytest.fixture(scope="session")
def partition() -> dict[str, Any]:
    """What `furnish` writes as `partition.json`."""
    return PARTITION


@pytest.fixture(scope="session")
def furnish() -> Callable[..., Path]:
    """furnish(run, **{"summary.json": {...}}) -> the run, with the files that a made one lacks."""

    def add(run: Path, **more: object) -> Path:
        content = {"partition.json": PARTITION, "evaluation.json": EVALUATION, **more}
        for name, facts in content.items():
            if facts is not None:
                (run / name).write_text(json.dumps(facts))
        return run

    return add


@pytest.fixture(scope="session")
def read() -> Callable[..., tuple[Content, str, Texts]]:
    """read(place, target=0.5) -> the page's content, its HTML, and its texts by section."""

    def found(*places: Path, **asked: object) -> tuple[Content, str, Texts]:
        words = {"metric": None, "at": "last", "by": None, "target": None, "unfinished": False,
                 "title": None, "show_clients": False, **asked}  # fmt: skip
        content = gather(places, question(**words))
        html = page(content, places)
        return content, html, Texts(html)

    return found


@pytest.fixture
def two(tmp_path: Path, made_run, furnish) -> Path:
    for seed in range(3):
        for at, method in enumerate(("fedavg", "fedprox")):
            curve = [0.3, 0.5, 0.6 + at / 10 + seed / 100]
            run = made_run(tmp_path / f"{method}{seed}", curve, seed=seed, algorithm=method)
            furnish(run)
    return tmp_path


class Browser:
    """One Chromium with one page."""

    def __init__(self, folder: Path) -> None:
        assert FOUND
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (*os.pipe(), *os.pipe())]
        its_in, our_out, our_in, its_out = ends
        command = [FOUND, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
                   "--no-first-run", "--force-color-profile=srgb", "--disable-extensions",
                   f"--user-data-dir={folder}", "about:blank"]  # fmt: skip
        self.process = os.posix_spawn(
            FOUND, command, os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, its_in, 3),  # it reads from 3 and writes to 4
                (os.POSIX_SPAWN_DUP2, its_out, 4),
            ],
        )  # fmt: skip
        os.close(its_in)
        os.close(its_out)
        self.to, self.back = our_out, our_in
        self.whole, self.part = deque(), []
        self.number, self.session, self.events = 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def read(self) -> dict[str, Any]:
        while not self.whole:
            content = os.read(self.back, 1 << 16)
            assert content, "the browser has gone"
            first, *others = content.split(b"\0")
            self.part.append(first)
            for other in others:
                self.whole.append(b"".join(self.part))
                self.part = [other]
        return json.loads(self.whole.popleft())

    def open(self, file: Path, *, width: int = 1300, dark: bool = False, script: bool = True):
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900,
                 deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="screen", features=[scheme])
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)
        self.ask("Page.navigate", url=file.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.read())

    def value(self, expression: str) -> Any:
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def troubles(self) -> list[str]:
        """Errors on the console, exceptions, and all that was asked of anybody but the file."""
        found = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                found.append(str(params["args"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:")):
                    found.append(url)
        return found

    def close(self) -> None:
        os.close(self.to)
        os.close(self.back)
        os.kill(self.process, signal.SIGTERM)
        os.waitpid(self.process, 0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """One Chromium for all tests of a file; skips where there is none."""
    if FOUND is None:
        pytest.skip("no Chromium or Chrome on the PATH")
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()
