"""The scoring page: a browser says of a picture what Python says, without a network."""

from __future__ import annotations

import functools
import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from iqaloss.data.images import to_image
from iqaloss.integrations.browser import FACTS, RUNTIME, page_facts, write_page
from iqaloss.integrations.onnx import export_scorer, metadata
from testing.browser import CONTRAST, SCREENS, chromium, new_page, shot
from testing.cases import tiny
from testing.howto import ROOT

HEIGHT, WIDTH = 64, 96
FETCHED = Path(os.environ.get("IQALOSS_ONNXRUNTIME_WEB", ROOT / "node_modules" / "onnxruntime-web" / "dist"))


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a small scorer and the runtime beside it."""
    if lacking := [name for name in RUNTIME if not (FETCHED / name).is_file()]:
        pytest.skip(f"no {lacking[0]} in {FETCHED}: make web fetches it, or set IQALOSS_ONNXRUNTIME_WEB")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")
    scorer, root = tiny("mdiqa-mobile"), tmp_path_factory.mktemp("browser")
    export_scorer(scorer, root / "tiny.onnx", "d" * 64, HEIGHT, WIDTH)
    facts = page_facts(metadata(scorer, "d" * 64, HEIGHT, WIDTH), HEIGHT, WIDTH)
    assert write_page(root / "tiny.onnx", facts, root / "page") == list(RUNTIME)
    for name in RUNTIME:
        shutil.copyfile(FETCHED / name, root / "page" / name)
    assert write_page(root / "tiny.onnx", facts, root / "page") == []
    return root / "page"


@pytest.fixture(scope="module")
def address(page_folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(page_folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def opened(browser: Any, address: str, **options: Any) -> Any:
    page = new_page(browser, **options)
    page.on(
        "request",
        lambda one: None if one.url.startswith((address, "blob:", "data:")) else page.problems.append(one.url),
    )
    page.goto(address)
    page.wait_for_selector("#said:text-is('Ready.')")
    return page


@pytest.mark.slow
def test_a_browser_scores_as_python_does(browser: Any, address: str, tmp_path: Path) -> None:
    page, scorer = opened(browser, address), tiny("mdiqa-mobile")
    for seed in range(3):
        coarse = torch.rand(1, 3, 4, 6, generator=torch.Generator().manual_seed(seed))
        image = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")[0].clamp(0, 1)
        image = (image * 255).round() / 255
        to_image(image).save(tmp_path / f"{seed}.png")
        page.set_input_files("#file", tmp_path / f"{seed}.png")
        page.wait_for_selector(f"#said:has-text('{seed}.png')")
        found = page.evaluate(
            "[...document.querySelectorAll('tr')].map((row) => [row.cells[0].textContent, +row.dataset.score])"
        )
        want = scorer(image[None])
        assert dict(found) == pytest.approx(
            {"overall": want.score.item(), **{name: one.item() for name, one in want.dimensions.items()}}, abs=1e-3
        )
    (tmp_path / "no.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "no.png")
    page.wait_for_selector("#said.bad")
    assert "no.png could not be scored" in page.inner_text("#said")
    assert not page.problems
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_it_fits_every_screen_in_light_and_dark(browser: Any, address: str, scheme: str, screen: str) -> None:
    page = opened(browser, address, screen=screen, color_scheme=scheme)
    page.set_input_files("#file", ROOT / "docs" / "dimensions.jpg")
    page.wait_for_selector("tr")
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen][0]
    contrast = page.evaluate(CONTRAST)
    assert all(value >= 4.5 for value in contrast.values()), {k: v for k, v in contrast.items() if v < 4.5}
    page.get_by_role("button", name="Choose a picture").focus()
    shot(page, f"scoring-{screen}-{scheme}")
    assert not page.problems
    page.context.close()


def test_a_page_from_disk_says_how_it_is_opened(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    facts = page_facts(metadata(tiny("mdiqa-mobile"), "d" * 64, HEIGHT, WIDTH), HEIGHT, WIDTH)
    write_page(tmp_path / "model.onnx", facts, tmp_path / "page")
    page = new_page(browser)
    page.goto((tmp_path / "page" / "index.html").as_uri())
    page.wait_for_selector("#said.bad")
    assert "python -m http.server" in page.inner_text("#said")
    page.context.close()


def test_the_page_knows_what_the_model_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    scorer = tiny("mdiqa-mobile")
    facts = page_facts(metadata(scorer, "d" * 64, HEIGHT, WIDTH), HEIGHT, WIDTH)
    assert write_page(tmp_path / "model.onnx", facts, tmp_path / "page") == list(RUNTIME)
    told = json.loads((tmp_path / "page" / FACTS).read_text())
    assert told["outputs"] == ["score", *scorer.dimension_names]
    assert (told["height"], told["width"], told["sha256"]) == (HEIGHT, WIDTH, "d" * 64)
    assert (tmp_path / "page" / told["model"]).read_bytes() == b"model"


def test_a_page_for_another_kind_of_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer", reason="typer is not installed (extra cli)")
    from iqaloss.cli import main

    assert main(["export", "mdiqa-mobile", "scorer.pt2", "--page", "page"]) == 2
    assert "which browsers run" in capsys.readouterr().err
