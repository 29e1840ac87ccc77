"""The page in a real browser: a person looks, flips, zooms and votes, with keys and with the mouse, on any screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra serve)")
pytest.importorskip("httpx", reason="httpx is not installed (extra dev)")
pytest.importorskip("playwright", reason="playwright is not installed (extra dev)")

from serving import Served, comparisons_of, make_folders, served

from iqaloss.ranking.store import VoteStore
from testing.browser import CONTRAST, SCREENS, chromium, new_page, shot


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture
def server(browser: Any, tmp_path: Path) -> Iterator[Served]:
    shown = comparisons_of(make_folders(tmp_path / "outputs", pictures=2, size=(240, 160)), catch=1)
    with served(shown, tmp_path / "votes.sqlite", ties=True) as running:
        yield running
        for context in browser.contexts:
            context.close()


def opened(browser: Any, server: Served, screen: str = "desktop", **options: Any) -> Any:
    page = new_page(browser, screen, **options)
    page.goto(server.address)
    ready(page)
    return page


def until(page: Any, expression: str, argument: Any = None) -> None:
    """Waits for something to be true; playwright's own waiting evaluates texts, which the page's policy forbids."""
    deadline = time.monotonic() + 60
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def ready(page: Any) -> None:
    until(page, "!document.getElementById('vote-left').disabled")


def wait_for_count(page: Any, text: str) -> None:
    until(page, "text => document.getElementById('count').textContent === text", text)


def places(page: Any) -> list[str]:
    return [page.evaluate("id => document.getElementById(id).style.transform", side) for side in ("left", "right")]


def test_a_person_votes_with_keys_and_mouse_undoes_and_ends(browser: Any, server: Served, tmp_path: Path) -> None:
    page = opened(browser, server)
    assert page.url.startswith(f"{server.address}/s/")
    wait_for_count(page, "0 of 7")
    assert page.get_by_role("button", name="Undo").is_disabled()
    for number, key in enumerate(("ArrowLeft", "ArrowRight", "ArrowDown"), 1):
        page.keyboard.press(key)
        wait_for_count(page, f"{number} of 7")
        ready(page)
    page.keyboard.press("u")
    wait_for_count(page, "2 of 7")
    ready(page)
    page.get_by_role("button", name="No difference").click()
    wait_for_count(page, "3 of 7")
    ready(page)
    page.reload()  # goes on where it was
    wait_for_count(page, "3 of 7")
    ready(page)
    for number in range(4, 8):
        page.get_by_role("button", name="A is better" if number % 2 else "B is better").click()
        wait_for_count(page, f"{number} of 7")
        if number < 7:
            ready(page)
    page.get_by_role("heading", name="Thank you").wait_for()
    assert not page.get_by_role("button", name="A is better").is_visible()
    assert not page.problems
    with VoteStore(tmp_path / "votes.sqlite") as store:
        ballots = list(store)
    assert len(ballots) == 7
    sides = [("left" if one.answer == one.left else one.answer == "tie" or "right") for one in ballots]
    assert sides[:3] == ["left", "right", True]
    assert all(one.seconds and one.seconds < 600 for one in ballots)


def test_both_pictures_zoom_and_move_together(browser: Any, server: Served) -> None:
    page = opened(browser, server)
    start = places(page)
    assert start[0] == start[1]
    box = page.locator("#pane-right").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.wheel(0, -100)
    until(page, "old => document.getElementById('left').style.transform !== old", start[0])
    zoomed = places(page)
    assert zoomed[0] == zoomed[1]
    assert page.locator("#zoom").inner_text() == "149 %"
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 + 40, box["y"] + box["height"] / 4 + 25, steps=3)
    page.mouse.up()
    moved = places(page)
    assert moved[0] == moved[1] != zoomed[0]
    page.keyboard.press("Shift+ArrowLeft")
    assert places(page)[0] != moved[0]
    page.keyboard.press("0")
    assert places(page) == start
    for _ in range(3):
        page.keyboard.press("+")
    assert page.locator("#zoom").inner_text() == "800 %"
    assert page.evaluate("getComputedStyle(document.getElementById('left')).imageRendering") == "pixelated"
    assert not page.problems


def test_the_point_under_the_pointer_stays_where_it_is(browser: Any, server: Served) -> None:
    page = opened(browser, server)
    seen = """([x, y]) => {
        const box = document.getElementById('left').getBoundingClientRect();
        return [(x - box.left) / box.width, (y - box.top) / box.height];
    }"""
    box = page.locator("#pane-left").bounding_box()
    point = [box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"]]
    before = page.evaluate(seen, point)
    page.mouse.move(*point)
    page.mouse.wheel(0, -100)
    until(page, "document.getElementById('zoom').textContent !== '100 %'")
    assert page.evaluate(seen, point) == pytest.approx(before, abs=0.01)


def test_flipping_shows_one_picture_in_the_place_of_the_other(browser: Any, server: Served) -> None:
    page = opened(browser, server)
    page.keyboard.press("f")
    visible = """() => ['left', 'right'].filter(side =>
        getComputedStyle(document.getElementById(`pane-${side}`)).visibility === 'visible')"""
    assert page.evaluate(visible) == ["left"]
    boxes = [page.locator(f"#pane-{side}").bounding_box() for side in ("left", "right")]
    assert boxes[0] == boxes[1]
    assert boxes[0]["width"] > 1000
    page.keyboard.press("x")
    assert page.evaluate(visible) == ["right"]
    assert page.locator("#status").inner_text() == "Picture B"
    page.keyboard.press("f")
    assert page.evaluate(visible) == ["left", "right"]


def test_a_vote_that_could_not_be_saved_is_told_and_can_be_repeated(browser: Any, server: Served) -> None:
    page = opened(browser, server)
    page.route("**/vote/*", lambda route: route.abort())
    page.keyboard.press("ArrowLeft")
    until(page, "document.getElementById('status').textContent.startsWith('Not saved')")
    wait_for_count(page, "0 of 7")
    page.unroute("**/vote/*")
    page.keyboard.press("ArrowLeft")
    wait_for_count(page, "1 of 7")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", list(SCREENS))
def test_it_fits_every_screen_in_light_and_dark(screen: str, scheme: str, browser: Any, server: Served) -> None:
    touch = {"has_touch": True, "is_mobile": True} if screen != "desktop" else {}
    page = opened(browser, server, screen, color_scheme=scheme, device_scale_factor=2, **touch)
    width, height = SCREENS[screen]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for side in ("left", "right"):
        pane, picture = (page.locator(f"#{prefix}{side}").bounding_box() for prefix in ("pane-", ""))
        assert pane["x"] - 1 <= picture["x"]
        assert picture["x"] + picture["width"] <= pane["x"] + pane["width"] + 1
        assert min(picture["width"], picture["height"]) > 60
    for name in ("A is better", "B is better", "No difference"):
        button = page.get_by_role("button", name=name).bounding_box()
        assert button["y"] + button["height"] <= height  # no scrolling to vote
        assert min(button["width"], button["height"]) >= 44
    contrast = page.evaluate(CONTRAST, "#count, #vote-left, #zoom, #flip")
    assert len(contrast) == 4
    assert all(value >= 4.5 for value in contrast.values()), contrast
    name = f"{screen.replace(' ', '_')}-{scheme}"
    shot(page, name, whole=False)
    page.keyboard.press("f")
    page.keyboard.press("+")
    shot(page, f"{name}-flipped", whole=False)
    assert not page.problems


def test_everything_has_a_name_and_can_be_reached_by_the_keyboard(browser: Any, server: Served) -> None:
    page = opened(browser, server)
    unnamed = """() => [...document.querySelectorAll('button, img, progress, main, nav')].filter(node =>
        !(node.textContent.trim() || node.getAttribute('aria-label') || node.alt || node.labels?.length)).length"""
    assert page.evaluate(unnamed) == 0
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert {"vote-left", "vote-tie", "vote-right", "flip", "closer", "wider", "whole"} <= set(reached)
    page.locator("#flip").focus()
    page.keyboard.press("Enter")
    assert page.locator("#flip").get_attribute("aria-pressed") == "true"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
