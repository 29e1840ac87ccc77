"""A report as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from iqaloss._files import write_text
from iqaloss.report import colors
from iqaloss.report.blocks import Block

PAGE = Path(__file__).parent / "page"

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
"""What the page may load: what is in it, and nothing from elsewhere."""


@dataclass(frozen=True)
class Report:
    """What is reported.

    Attributes:
        title: Of the page.
        summary: One sentence below it.
        blocks: Its sections, in order.

    Example:
        >>> from iqaloss.report.blocks import Text
        >>> "<h2" in to_html(Report("Trial", "It went well.", [Text("How", ["Slowly."])]))
        True
    """

    title: str
    summary: str
    blocks: Sequence[Block]


def to_html(report: Report) -> str:
    """Returns the page."""
    names = _identifiers([block.title for block in report.blocks])
    links = "".join(
        f'<li><a href="#{name}">{escape(block.title)}</a></li>' for name, block in zip(names, report.blocks)
    )
    sections = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(block.title)}</h2>'
        f"{block.html()}</section>"
        for name, block in zip(names, report.blocks)
    )
    text = (PAGE / "report.html").read_text(encoding="utf-8")
    filled = {
        "policy": POLICY,
        "title": escape(report.title),
        "summary": escape(report.summary),
        "style": colors.css() + (PAGE / "report.css").read_text(encoding="utf-8"),
        "links": links,
        "sections": sections,
        "script": (PAGE / "report.js").read_text(encoding="utf-8"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], text)


def write_report(report: Report, path: str | Path) -> Path:
    """Writes the page and returns its path."""
    write_text(path, to_html(report))
    return Path(path)


def _identifiers(titles: Sequence[str]) -> list[str]:
    found: list[str] = []
    for title in titles:
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        found.append(name if name not in found else f"{name}-{len(found)}")
    return found
