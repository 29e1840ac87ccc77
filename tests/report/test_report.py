"""A report holds all that it shows, escapes what it is given, and takes the page's colours."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from iqaloss.report.blocks import Facts, Pictures, Table, Text, shown
from iqaloss.report.page import Report, to_html

HOSTILE = '</script><img src="http://evil" onerror=alert(1)>'


def page(*blocks: object) -> str:
    return to_html(Report(f"A {HOSTILE}", HOSTILE, blocks))  # type: ignore[arg-type]


def test_what_it_is_given_never_becomes_markup() -> None:
    picture = Image.new("RGB", (4, 4))
    text = page(
        Text(HOSTILE, [HOSTILE]),
        Facts(HOSTILE, {HOSTILE: HOSTILE}),
        Table(HOSTILE, [{HOSTILE: HOSTILE, "b": HOSTILE}], HOSTILE),
        Pictures(HOSTILE, {HOSTILE: {HOSTILE: picture, "b": picture}}, {HOSTILE: {HOSTILE: HOSTILE}}),
    )
    assert "<img src" not in text
    assert text.count("</script>") == 2  # the pictures' and the page's own


def test_it_names_nothing_outside_itself() -> None:
    charts = pytest.importorskip("iqaloss.report.charts")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")
    drawn = charts.radar("R", {"a": {"x": 0.2, "y": 0.4, "z": 0.6}})
    text = to_html(
        Report("T", "S", [drawn, charts.curves("C", {"L1": ([1, 2], [3, 4])}), charts.bars("B", {"a": {"x": 1.0}})])
    )
    addresses = set(re.findall(r'(?:href|src)="([^"]*)"', text))
    assert all(address.startswith("#") for address in addresses), addresses
    assert set(re.findall(r'https?://[^"\s<)]+', text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "default-src 'none'" in text


def test_charts_take_the_pages_colors_and_say_what_they_show() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")
    from iqaloss.report.charts import bars, radar

    chart = bars("B", {"a": {"x": 1.0}, "b": {"x": 2.0}}, {"a": {"x": (0.5, 1.5)}, "b": {"x": (1.9, 2.2)}})
    assert "var(--c1)" in chart.svg
    assert "var(--c2)" in chart.svg
    assert "currentColor" in chart.svg
    assert "<style" not in chart.svg
    assert "a: x 1; b: x 2" in chart.html()
    with pytest.raises(ValueError, match="at least three dimensions"):
        radar("R", {"a": {"x": 1.0, "y": 2.0}})


def test_the_same_report_is_the_same_file() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")
    from iqaloss.report.charts import bars

    assert page(bars("B", {"a": {"x": 1.0}})) == page(bars("B", {"a": {"x": 1.0}}))


def test_values_are_shown_as_people_read_them() -> None:
    assert [shown(value) for value in (True, 1.0, (), "text")] == ["yes", "1", "none", "text"]
