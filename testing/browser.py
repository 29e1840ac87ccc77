"""A real browser for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCREENS = {"desktop": (1280, 800), "phone": (390, 780), "phone on its side": (780, 390)}
SHOTS = os.environ.get("IQALOSS_SCREENSHOTS")  # a folder to leave pictures of the page in, for a person to look at


def chromium() -> Iterator[Any]:
    """A headless Chromium; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=120_000)
        except sync_api.Error as error:
            pytest.skip(f"no Chromium here (apt-get install chromium): {str(error).splitlines()[0]}")
        yield opened
        opened.close()


def new_page(browser: Any, screen: str = "desktop", **options: Any) -> Any:
    """An empty page, which notes in ``problems`` what goes wrong in it."""
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
    return page


def shot(page: Any, name: str, *, whole: bool = True) -> None:
    """Leaves a picture of the page, the whole of it or what the screen shows, where IQALOSS_SCREENSHOTS says."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=whole)


CONTRAST = """(chosen) => {
  const numbers = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  const texts = "h1, h2, header p, a, button, figcaption, td, th, dt, dd, .hint, .note, svg text";
  for (const node of document.querySelectorAll(chosen ?? texts)) {
    const style = getComputedStyle(node);
    let under = node;
    while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)") under = under.parentElement;
    const text = light(numbers(style.fill !== "rgb(0, 0, 0)" && node.tagName === "text" ? style.fill : style.color));
    const ground = light(numbers(getComputedStyle(under).backgroundColor));
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    found[node.tagName + " " + node.textContent.trim().slice(0, 20)] = ratio;
  }
  return found;
}"""
"""Contrast of text, or of what a selector chooses, with what it stands on, as WCAG 2 counts it."""
