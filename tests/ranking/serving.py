"""A server that tests start, ask and kill: a process of its own, forked, for importing torch takes long."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from PIL import Image

from iqaloss.ranking.comparisons import Comparison, all_comparisons, catch_trials
from iqaloss.ranking.selection import find_outputs
from iqaloss.ranking.server import SubjectiveTest, application
from iqaloss.ranking.store import VoteStore

METHODS = ("A", "B", "C")


def make_folders(root: Path, pictures: int = 4, size: tuple[int, int] = (64, 48)) -> dict[str, Path]:
    """Pictures of three methods: stripes, with more and more noise."""
    generator = np.random.default_rng(0)
    for number, method in enumerate(METHODS):
        (root / method).mkdir(parents=True)
        for k in range(pictures):
            x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
            clean = 128 + 80 * np.sin((x + k * y) / 4)[..., None] * [1.0, 0.6, 0.3]
            noisy = clean + generator.normal(0, 15 * number, clean.shape)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / method / f"picture{k}.png")
    return {method: root / method for method in METHODS}


def comparisons_of(folders: dict[str, Path], catch: int = 0) -> list[Comparison]:
    """All pairs of all methods, and catch trials."""
    shown = all_comparisons(find_outputs(folders), folders)
    return shown + catch_trials(shown, catch)


def _run(comparisons: Sequence[Comparison], votes: Path, listening: socket.socket, options: dict[str, Any]) -> None:
    test = SubjectiveTest(comparisons, VoteStore(votes), **options)
    config = uvicorn.Config(application(test), log_level="critical", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


def _launch(told: Any, arguments: tuple[Any, ...]) -> None:
    """Forks a server for each "start" and reports how each ended: this process has no threads, so that it may fork."""
    while told.recv() == "start":
        if not (pid := os.fork()):
            _run(*arguments)
            os._exit(0)
        told.send(pid)
        told.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


class Served:
    """A uvicorn process that may be killed and started again at the same address."""

    def __init__(self, comparisons: Sequence[Comparison], votes: Path, **options: Any) -> None:
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.told, theirs = multiprocessing.Pipe()
        arguments = theirs, (comparisons, votes, self.listening, options)
        self.launcher = multiprocessing.get_context("fork").Process(target=_launch, args=arguments, daemon=True)
        self.launcher.start()
        self.start()

    def start(self) -> None:
        """Starts the process and waits until it answers."""
        self.told.send("start")
        self.pid: int = self.told.recv()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{self.address}/state/somebody", timeout=1)
                return
            time.sleep(0.02)
        raise TimeoutError("the server did not start")

    def kill(self) -> int:
        """Ends the process as a power cut would: it is told nothing. Returns its exit status."""
        os.kill(self.pid, 9)
        status: int = self.told.recv()
        return status

    def close(self) -> None:
        """Ends all."""
        with contextlib.suppress(ProcessLookupError):  # killed and not started again
            self.kill()
        self.told.send("end")
        self.launcher.join()
        self.listening.close()


@contextlib.contextmanager
def served(comparisons: Sequence[Comparison], votes: Path, **options: Any) -> Iterator[Served]:
    """A running server, killed at the end."""
    server = Served(comparisons, votes, **options)
    try:
        yield server
    finally:
        server.close()
