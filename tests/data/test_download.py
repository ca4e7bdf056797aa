"""The downloader against a server on this machine: the good file and every failure."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from fedrun.core.option import ConfigError, RunError
from fedrun.data._cache import cache_folder, locate
from fedrun.data._download import Remote, download

CONTENT = bytes(range(256)) * 1000
FILE = Remote("good", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    """/good sends the file, /altered another one, /cut stops half-way, /endless does not stop."""

    def do_GET(self) -> None:
        folder = self.path.split("/")[1]
        self.server.requests.append(self.path)
        if folder == "absent":
            self.send_error(404)
            return
        self.send_response(200)
        if folder != "endless":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        body = {"altered": b"!" + CONTENT[1:], "cut": CONTENT[:100_000], "endless": CONTENT * 3}
        with suppress(ConnectionError):  # the client hangs up on an endless answer
            self.wfile.write(body.get(folder, CONTENT))

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    requests: list[str]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mirror(server: Server, folder: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{folder}/"


def test_good_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "cache"
    for _ in range(2):
        assert download(FILE, folder, (mirror(server, "good"),)).read_bytes() == CONTENT
    assert server.requests == ["/good/good"]
    assert [path.name for path in folder.iterdir()] == ["good"]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("altered", "wrong checksum"),
        ("absent", "Not Found"),
        ("cut", "ended after 100,000 of 256,000 bytes"),
        ("endless", "more than the 256,000 bytes"),
    ],
)
def test_failure_leaves_nothing_behind(
    server: Server, tmp_path: Path, folder: str, message: str
) -> None:
    (tmp_path / "other").write_text("kept")
    with pytest.raises(RunError, match=rf"could not download good .*{message}.*data.root=FOLDER"):
        download(FILE, tmp_path, (mirror(server, folder),))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_connection_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(RunError, match="refused"):
            download(FILE, tmp_path, (url,))
    assert list(tmp_path.iterdir()) == []


def test_next_mirror_is_tried(server: Server, tmp_path: Path) -> None:
    mirrors = tuple(mirror(server, folder) for folder in ("absent", "altered", "cut", "good"))
    assert download(FILE, tmp_path, mirrors).read_bytes() == CONTENT


def test_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(CONTENT[:-1])
    assert download(FILE, tmp_path, (mirror(server, "good"),)).read_bytes() == CONTENT


def test_damaged_file_stays_when_no_mirror_delivers(server: Server, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"old")
    with pytest.raises(RunError):
        download(FILE, tmp_path, (mirror(server, "altered"),))
    assert (tmp_path / "good").read_bytes() == b"old"


def test_two_runs_at_once(server: Server, tmp_path: Path) -> None:
    mirrors = (mirror(server, "good"),)
    threads = [Thread(target=download, args=(FILE, tmp_path, mirrors)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["good"]
    assert (tmp_path / "good").read_bytes() == CONTENT


def test_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot keep good in .*FEDRUN_DATA=FOLDER"):
        download(FILE, tmp_path / "file" / "below", (mirror(server, "good"),))


def test_cache_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FEDRUN_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "fedrun"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "fedrun"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "fedrun"
    monkeypatch.setenv("FEDRUN_DATA", str(tmp_path / "moved"))
    assert cache_folder() == tmp_path / "moved"


def test_without_root_files_go_to_the_cache(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDRUN_DATA", str(tmp_path))
    paths = locate("some_set", None, (FILE,), (mirror(server, "good"),))
    assert paths == [tmp_path / "some_set" / "good"]


def test_nothing_is_fetched_into_a_given_root(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"data.root={tmp_path} has no file good .*data=set"):
        locate("set", str(tmp_path), (FILE,), (mirror(server, "good"),))
    with pytest.raises(ConfigError, match=r"absent is no folder; it must hold good"):
        locate("set", str(tmp_path / "absent"), (FILE,), (mirror(server, "good"),))
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []
