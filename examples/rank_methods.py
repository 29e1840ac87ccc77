"""Which of five upscalers do people prefer? The loop of `iqaloss rank` on generated pictures, with made-up people.

select pictures -> people vote on the page -> fit a ranking -> who agrees? -> calibrate a scorer by the ranking

The people here are simulated: they see pictures through the server's own interface, as a browser does, and prefer what
is nearer to the original, but for some noise. Needs
`pip install 'iqaloss[cli,train,serve]'`; takes under two minutes on two cores.
"""

from __future__ import annotations

import io
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from PIL import Image, ImageFilter

from iqaloss.cli import main
from iqaloss.ranking.comparisons import catch_trials, chosen_comparisons
from iqaloss.ranking.selection import find_outputs
from iqaloss.ranking.server import SubjectiveTest, application
from iqaloss.ranking.store import VoteStore

SIDE, SCALE = 96, 3
PEOPLE, PICTURES, KEPT = 6, 16, 6  # the first pictures are voted on, the others are what the scorer learns from


def generated(seed: int) -> Image.Image:
    """A picture with edges, texture and smooth shading."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    picture = 0.5 + 0.3 * np.sin(2 * np.pi * (x * random.uniform(0.3, 1) + y * random.uniform(0.3, 1)))[..., None]
    picture = np.repeat(picture, 3, 2)
    for _ in range(14):
        centre, size = random.uniform(0, 1, 2), random.uniform(0.05, 0.25)
        inside = np.hypot(x - centre[0], y - centre[1]) < size
        stripes = 0.2 * np.sign(np.sin((x + y * random.uniform(-1, 1)) * random.uniform(30, 150)))
        picture[inside] = random.uniform(0.1, 0.9, 3) + stripes[inside][:, None]
    return Image.fromarray((picture.clip(0, 1) * 255).astype(np.uint8))


def grained(image: Image.Image, amount: float) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, amount, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def enlarged(small: Image.Image, rule: Image.Resampling) -> Image.Image:
    return small.resize((SIDE, SIDE), rule)


METHODS = {
    "lanczos": lambda small: enlarged(small, Image.Resampling.LANCZOS),
    "bilinear": lambda small: enlarged(small, Image.Resampling.BILINEAR),
    "blurred": lambda small: enlarged(small, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2.5)),
    "sharpened": lambda small: enlarged(small, Image.Resampling.BICUBIC).filter(ImageFilter.UnsharpMask(2, 250, 0)),
    "grainy": lambda small: grained(enlarged(small, Image.Resampling.BICUBIC), 24),
}


def prepare(folder: Path) -> None:
    """Originals, what the methods are given, and what they make of it; the pictures to learn from lie apart."""
    for number in range(PICTURES):
        original = generated(number)
        small = original.resize((SIDE // SCALE, SIDE // SCALE), Image.Resampling.BOX)
        kept = "voted" if number < KEPT else "more"
        images = {"originals": original, "inputs": small, **{name: make(small) for name, make in METHODS.items()}}
        for name, image in images.items():
            path = folder / kept / (f"outputs/{name}" if name in METHODS else name) / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)


class Person(threading.Thread):
    """Someone who votes until all is done, and looks at pictures alone."""

    def __init__(self, address: str, name: str, originals: list[np.ndarray]) -> None:
        super().__init__()
        self.address, self.subject, self.originals, self.random = address, name, originals, random.Random(name)

    def ask(self, path: str, body: Any = None) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, content, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.read()

    def pleasure(self, content: bytes) -> float:
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float32)
        error = min(np.abs(pixels - original).mean() for original in self.originals)
        return -error + self.random.gauss(0, 2.0)

    def run(self) -> None:
        state = json.loads(self.ask(f"/state/{self.subject}"))
        while trial := state["trial"]:
            left, right = (self.pleasure(self.ask(trial[side])) for side in ("left", "right"))
            vote = {"key": trial["key"], "answer": "left" if left > right else "right"}
            state = json.loads(self.ask(f"/vote/{self.subject}", vote))


def hold_test(folder: Path) -> None:
    """Serves the chosen pairs, as `iqaloss rank serve` does, until every person has voted on all of them."""
    folders = {name: folder / "voted" / "outputs" / name for name in METHODS}
    pairs = chosen_comparisons(folder / "pairs.csv", find_outputs(folders), folders)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with VoteStore(folder / "votes.sqlite") as store:
        test = SubjectiveTest([*pairs, *catch_trials(pairs, 3)], store)
        server = uvicorn.Server(uvicorn.Config(application(test), log_level="warning", access_log=False))
        serving = threading.Thread(target=server.run, args=([listening],))
        serving.start()
        originals = [np.asarray(Image.open(path)) for path in sorted((folder / "voted" / "originals").iterdir())]
        people = [Person(address, f"person{number}", originals) for number in range(PEOPLE)]
        for person in people:
            person.start()
        for person in people:
            person.join()
        server.should_exit = True
        serving.join()


def rank(*words: object) -> None:
    """Runs a command as a person types it."""
    typed = ["rank", *map(str, words)]
    print(f"\n$ iqaloss {' '.join(typed)}", flush=True)
    if main(typed):
        sys.exit("the command failed")


def run(folder: Path) -> None:
    started = time.monotonic()
    prepare(folder)
    voted, outputs = folder / "voted", folder / "voted" / "outputs"
    rank("select", *(outputs / name for name in METHODS), "--inputs", voted / "inputs", "--count", 3,
         "--out", folder / "pairs.csv")  # fmt: skip
    hold_test(folder)
    rank("export", folder / "votes.sqlite", "--out", folder / "votes.csv", "--caught", 0.6)
    rank("fit", folder / "votes.csv", "--bootstrap", 100)
    seen = ("--scorer", "mdiqa-mobile", "--images", outputs, "--bootstrap", 0)
    rank("evaluate", folder / "votes.csv", *seen)
    rank("calibrate", folder / "votes.csv", "--images", folder / "more" / "outputs", "--crop", SIDE, "--steps", 60,
         "--batch-size", 4, "--out", folder / "calibrated", "--device", "cpu", "--quiet")  # fmt: skip
    rank("evaluate", folder / "votes.csv", *seen, "--weights", folder / "calibrated" / "last.safetensors")
    print(f"\nselect, votes, fit, evaluate, calibrate: {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    torch.manual_seed(0)
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        run(Path("."))
        os.chdir(home)
