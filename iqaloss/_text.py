"""Names that may hold anything, as text that a file or a terminal takes."""

from __future__ import annotations

import re

_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
_IN_LINES, _IN_A_NAME = re.compile(f"[{_CONTROL}]"), re.compile(f"[{_CONTROL}\t\n]")


def storable(text: str) -> str:
    r"""Returns text that can be written as UTF-8: bytes of a file name that are none are escaped.

    Example:
        >>> storable("caf\udce9.png")
        'caf\\udce9.png'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shown(text: str, *, lines: bool = False) -> str:
    r"""Returns text that a terminal only prints: escape codes and their like are spelled out.

    Args:
        text: What is to be shown.
        lines: Whether line breaks and tabs are meant, as in a message; in a name they are spelled out too.

    Example:
        >>> shown("x\x1b[2J.png")
        'x\\x1b[2J.png'
    """
    found = _IN_LINES if lines else _IN_A_NAME
    return found.sub(lambda match: match[0].encode("unicode_escape").decode(), storable(text))
