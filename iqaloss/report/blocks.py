"""What a report is made of, and how each piece is written as HTML."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

from PIL.Image import Image


class Block(Protocol):
    """A piece of a report."""

    @property
    def title(self) -> str:
        """Its heading."""

    def html(self) -> str:
        """Returns its HTML, without its heading."""


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    title: str
    paragraphs: Sequence[str]

    def html(self) -> str:
        """Returns the paragraphs."""
        return "".join(f"<p>{escape(each)}</p>" for each in self.paragraphs)


@dataclass(frozen=True)
class Facts:
    """Names and values: settings, versions, digests."""

    title: str
    values: Mapping[str, Any]
    folded: bool = True

    def html(self) -> str:
        """Returns a list of terms, folded away where it is long."""
        rows = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(shown(v))}</dd>" for k, v in self.values.items())
        inner = f"<dl>{rows}</dl>"
        if not self.folded:
            return inner
        return f"<details><summary>{len(self.values)} entries</summary>{inner}</details>"


@dataclass(frozen=True)
class Table:
    """Rows with the same columns."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    note: str = ""

    def html(self) -> str:
        """Returns a table that scrolls sideways where it is wide."""
        head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in self.rows[0])
        body = ""
        for row in self.rows:
            first, *rest = row.values()
            cells = "".join(f"<td>{escape(shown(value))}</td>" for value in rest)
            body += f'<tr><th scope="row">{escape(shown(first))}</th>{cells}</tr>'
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(self.title)}">{table}</div>{note}'


@dataclass(frozen=True)
class Chart:
    """A drawing as SVG, with what it shows in words."""

    title: str
    svg: str
    words: str

    def html(self) -> str:
        """Returns the drawing, with names of its own inside."""
        mark = f"s{zlib.crc32(self.svg.encode())}-"
        svg = self.svg.replace(' id="', f' id="{mark}').replace("url(#", f"url(#{mark}")
        svg = svg.replace('href="#', f'href="#{mark}')
        svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(f"{self.title}: {self.words}")}"', 1)
        return f'<div class="chart">{svg}</div>'


@dataclass(frozen=True)
class Pictures:
    """Versions of pictures, to be looked at side by side and one over the other.

    Attributes:
        title: What they show.
        pictures: Name of a picture to title of a version to the version, all of one size and with the same titles.
        captions: Name of a picture to title of a version to a few words, scores say.
        slider: The two versions that the slider begins with; the first two by default.
    """

    title: str
    pictures: Mapping[str, Mapping[str, Image]]
    captions: Mapping[str, Mapping[str, str]] | None = None
    slider: tuple[str, str] | None = None

    def html(self) -> str:
        """Returns what the page's script makes a viewer of."""
        captions = self.captions or {}
        told = [
            {
                "name": name,
                "versions": [
                    {"title": title, "source": data_of(image), "caption": captions.get(name, {}).get(title, "")}
                    for title, image in versions.items()
                ],
            }
            for name, versions in self.pictures.items()
        ]
        # A tag inside JSON would end the script.
        data = json.dumps(told).replace("<", "\\u003c")
        titles = list(next(iter(self.pictures.values())))
        left, right = (titles.index(each) for each in self.slider or (titles[0], titles[min(1, len(titles) - 1)]))
        places = f'data-left="{left}" data-right="{right}"'
        return f'<div class="viewer" {places}><script type="application/json">{data}</script></div>'


def data_of(image: Image) -> str:
    """Returns an image, without loss, as an address that holds it."""
    from PIL import features

    kind, options = ("webp", {"lossless": True}) if features.check("webp") else ("png", {})
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shown(value: Any) -> str:
    """Returns a value as a table shows it.

    Example:
        >>> shown(0.123456), shown((1, 2)), shown(None)
        ('0.1235', '1, 2', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(each) for each in value) or "none"
    return str(value)
