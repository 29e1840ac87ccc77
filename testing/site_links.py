"""A hook of mkdocs: pages link to files of the repository, which the site does not hold.

They become links to it where `REPOSITORY` says where that is (the address before a file's name); else they are names.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HOME = os.environ.get("REPOSITORY", "")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)\s]+)\)")
log = logging.getLogger("mkdocs.hooks.site_links")


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """Rewrites links that leave `docs/`; one that leads nowhere is a warning, which a strict build does not pass."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def outside(match: re.Match[str]) -> str:
        name = posixpath.normpath(posixpath.join(folder, match[2].partition("#")[0]))
        if name.startswith("docs/"):
            return match[0]
        if not (ROOT / name).exists():
            log.warning("%s links to %s, which is not there", page.file.src_uri, name)
        return f"[{match[1]}]({HOME}{name})" if HOME else f"{match[1]} (`{name}`)"

    return LINK.sub(outside, markdown)
