"""Published files, fetched from a server that misbehaves."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("pooch", reason="pooch is in the extra `download`")
pytest.importorskip("requests", reason="requests is in the extra `download`")

from iqaloss.scorers import downloads
from iqaloss.scorers.cards import WeightFile
from iqaloss.scorers.downloads import Source, get

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one file, in the way that ``manner`` says, and notes what it was asked for."""

    manner = "well"
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str | None] = []

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of it."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        asked, manner = self.headers.get("Range"), self.server.manner
        self.server.asked.append(asked)
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked and manner != "ignores ranges" else 0
        if manner == "refuses":
            self.send_error(403)
            return
        if manner == "sends elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://example.invalid/net.pth")
            self.end_headers()
            return
        body = (b"another" if manner == "another file" else CONTENT)[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Type", "text/html" if manner == "a page" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body) + (100 if manner == "promises too much" else 0)))
        self.end_headers()
        if manner in ("breaks off", "stalls"):
            self.wfile.write(body[:300_000])
            self.wfile.flush()
            if manner == "stalls":
                time.sleep(1)
            return
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def file_of(
    sha256: tuple[str, ...] = (DIGEST,), url: str | None = "https://authors.example/files/net.pth?raw=1"
) -> WeightFile:
    return WeightFile("net", ("net.pth",), "https://authors.example", "MIT", sha256=sha256, url=url)


def source_of(server: Server) -> Source:
    return Source(mirror=server.address, seconds=0.3)


@pytest.mark.parametrize("known", [(DIGEST,), ("0" * 64, DIGEST), ()])
def test_a_file_is_whole_compared_and_fetched_once(known: tuple[str, ...], server: Server, tmp_path: Path) -> None:
    path = get(file_of(known), tmp_path, source_of(server))
    assert path == tmp_path / "net.pth"
    assert path.read_bytes() == CONTENT
    assert get(file_of(known), tmp_path, Source(offline=True)) == path
    assert server.asked == [None]
    assert {entry.name for entry in tmp_path.iterdir()} - {".net.pth.lock", "net.pth.sha256"} == {"net.pth"}


@pytest.mark.parametrize(
    ("manner", "error", "said"),
    [
        ("stalls", OSError, "timed out"),
        ("breaks off", OSError, "could not be fetched"),
        ("promises too much", OSError, "could not be fetched"),
        ("another file", ValueError, "another file than the published one"),
        ("a page", OSError, "sent a page in place of the file"),
        ("refuses", OSError, "403"),
        ("sends elsewhere", (OSError, ValueError), "example.invalid"),
    ],
)
def test_a_server_that_misbehaves_is_an_error_and_leaves_no_file(
    manner: str, error: type[Exception], said: str, server: Server, tmp_path: Path
) -> None:
    server.manner = manner
    with pytest.raises(error, match=said):
        get(file_of(), tmp_path, source_of(server))
    assert not (tmp_path / "net.pth").exists()


@pytest.mark.parametrize("then", ["well", "ignores ranges"])
def test_a_fetch_that_broke_off_is_gone_on_with(then: str, server: Server, tmp_path: Path) -> None:
    server.manner = "breaks off"
    with pytest.raises(OSError, match="the same command goes on with it"):
        get(file_of(), tmp_path, source_of(server))
    server.manner = then
    assert get(file_of(), tmp_path, source_of(server)).read_bytes() == CONTENT
    first, second = server.asked
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").rstrip("-")) >= 200_000


def test_without_a_digest_nothing_is_put_together_from_two_fetches(server: Server, tmp_path: Path) -> None:
    server.manner = "breaks off"
    with pytest.raises(OSError, match="could not be fetched"):
        get(file_of(()), tmp_path, source_of(server))
    server.manner = "well"
    path = get(file_of(()), tmp_path, source_of(server))
    assert server.asked == [None, None]
    path.write_bytes(b"changed")
    with pytest.raises(ValueError, match="is not the file it was"):
        get(file_of(()), tmp_path, source_of(server))


def test_two_at_once_fetch_it_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: get(file_of(), tmp_path, source_of(server)), range(2)))
    assert paths[0] == paths[1]
    assert server.asked == [None]


def test_only_https_is_fetched(tmp_path: Path) -> None:
    for source, url in (
        (Source(), "http://authors.example/net.pth"),
        (Source(mirror="http://mirror.example"), "https://authors.example/net.pth"),
        (Source(), "file:///etc/net.pth"),
    ):
        with pytest.raises(ValueError, match="only https"):
            get(file_of(url=url), tmp_path, source)
    with pytest.raises(ValueError, match="cannot be fetched by a program: it is published at https://authors"):
        get(file_of(url=None), tmp_path)


def test_nothing_is_fetched_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(downloads.OFFLINE, "1")
    with pytest.raises(ValueError, match="nothing is fetched offline; it would come from https://authors"):
        get(file_of(), tmp_path)


def test_the_command_fetches_into_the_cache_and_names_the_rest(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    from iqaloss.cli import main

    monkeypatch.setenv(downloads.CACHE, str(tmp_path))
    assert main(["models", "get", "sr-iqa", "--mirror", server.address]) == 0
    told = capsys.readouterr().out
    assert (tmp_path / "sr-iqa" / "MANIQA_PIPAL-ae6d356b.pth").read_bytes() == CONTENT
    assert "clip (needed, LIQE-SR_*.pt): not for programs to fetch; published at https://github.com/" in told
    assert main(["models", "get", "mdiqa"]) == 0
    assert "Google Drive" in capsys.readouterr().out
    assert main(["models", "get"]) == 2
    assert main(["models", "mdiqa", "sr-iqa"]) == 2
