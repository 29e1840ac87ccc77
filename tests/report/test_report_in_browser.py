"""The report in a real browser: pictures zoom and move together, a slider compares, on any screen, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from iqaloss.report.blocks import Facts, Pictures, Table, Text
from iqaloss.report.page import Report, write_report
from testing.browser import CONTRAST, SCREENS, chromium, new_page, shot

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")


def opened(browser: Any, path: Path, screen: str = "desktop", **options: Any) -> Any:
    """A page from disk, which also notes what it asks the network for."""
    page = new_page(browser, screen, **options)
    page.on("request", lambda one: page.problems.append(one.url) if one.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_function("[...document.images].every((each) => each.complete)")
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from iqaloss.report.charts import bars, curves, radar

    def picture(shift: int) -> Image.Image:
        gradient = Image.linear_gradient("L").resize((240, 160)).rotate(shift)
        return Image.merge("RGB", [gradient, gradient.transpose(Image.Transpose.FLIP_LEFT_RIGHT), gradient])

    pictures = {name: {"input": picture(k), "A": picture(k + 10), "B": picture(k + 20)} for k, name in enumerate("xyz")}
    dimensions = {name: {"sharpness": 0.4 + k / 10, "noise": 0.6, "contrast": 0.5} for k, name in enumerate("AB")}
    report = Report(
        "A comparison",
        "Two methods on three pictures.",
        [
            Pictures("Pictures", pictures, {"x": {"A": "score 0.5"}}, ("A", "B")),
            Table("Figures", [{"method": name, **values} for name, values in dimensions.items()], "A note."),
            radar("Dimensions", dimensions),
            bars("Differences", dimensions),
            curves("Training", {"L1": (range(20), [1 / (k + 1) for k in range(20)])}),
            Text("Words", ["A paragraph."]),
            Facts("Settings", {"seed": 0, "digest": "f" * 64}),
        ],
    )
    return write_report(report, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page(browser: Any, page_file: Path) -> Iterator[Any]:
    found = opened(browser, page_file)
    yield found
    assert not found.problems
    found.context.close()


def transforms(page: Any) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.pane img')].map((each) => each.style.transform)")


def test_all_versions_zoom_and_move_together(page: Any) -> None:
    start = transforms(page)
    assert len(set(start)) == 1
    box = page.locator(".pane").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.wheel(0, -300)
    page.wait_for_function("old => document.querySelector('.pane img').style.transform !== old", arg=start[0])
    zoomed = transforms(page)
    assert len(set(zoomed)) == 1
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    moved = transforms(page)
    assert len(set(moved)) == 1
    assert moved != zoomed
    page.get_by_role("button", name="The whole picture").click()
    assert transforms(page) == start


def test_the_slider_shows_one_result_over_the_other(page: Any) -> None:
    page.get_by_role("button", name="Slider between two").click()
    assert page.locator(".pane").count() == 1
    assert page.locator(".mark").all_inner_texts() == ["A", "B"]
    clip = "getComputedStyle(document.querySelector('.over')).clipPath"
    assert "50%" in page.evaluate(clip)
    page.get_by_label("Where the slider stands").focus()
    page.keyboard.press("Home")
    assert "0%" in page.evaluate(clip)
    page.get_by_label("Left of the slider").select_option("input")
    assert page.locator(".mark").all_inner_texts() == ["input", "B"]
    box = page.locator(".pane").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    assert page.get_by_label("Where the slider stands").input_value() == "30"


def test_everything_goes_by_the_keyboard_and_has_a_name(page: Any) -> None:
    start = transforms(page)
    page.locator(".panes").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    assert len(set(transforms(page))) == 1
    assert transforms(page) != start
    page.keyboard.press("n")
    assert page.locator(".tools select").first.input_value() == "1"
    page.keyboard.press("s")
    assert page.get_by_role("button", name="Slider between two").get_attribute("aria-pressed") == "true"
    unnamed = """() => [...document.querySelectorAll('button, img, select, input, svg, [role]')].filter((node) => !(
        node.hidden || node.textContent.trim() || node.getAttribute('aria-label') || node.alt ||
        node.labels?.length)).length"""
    assert page.evaluate(unnamed) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", list(SCREENS))
def test_it_fits_every_screen_in_light_and_dark(screen: str, scheme: str, browser: Any, page_file: Path) -> None:
    touch = {"has_touch": True, "is_mobile": True} if screen == "phone" else {}
    page = opened(browser, page_file, screen, color_scheme=scheme, **touch)
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen][0]
    contrast = page.evaluate(CONTRAST)
    assert contrast
    assert all(value >= 4.5 for value in contrast.values()), {k: v for k, v in contrast.items() if v < 4.5}
    for button in page.locator("button").all():
        if button.is_visible():
            assert min(button.bounding_box()["width"], button.bounding_box()["height"]) >= 43
    shot(page, f"report-{screen}-{scheme}")
    assert not page.problems
    page.context.close()
