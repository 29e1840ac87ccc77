"""What several commands show: tables, progress, and the scorer that a person names."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from iqaloss._text import shown
from iqaloss.cli.options import INSIDE

if TYPE_CHECKING:
    from iqaloss.data.sources import Source
    from iqaloss.scorers.base import Scorer


def show(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Prints rows as a table; names in it are names, whatever brackets and escape codes they hold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(shown(title), style="table.title"))
    for column in rows[0]:
        justify: Literal["left", "right"] = "left" if isinstance(rows[0][column], str) else "right"
        table.add_column(Text(shown(column)), justify=justify, overflow="fold")
    for row in rows:
        cells = (shown(value) if isinstance(value, str) else f"{value:.3f}" for value in row.values())
        table.add_row(*map(Text, cells))
    Console().print(table)


def say(text: str, *, err: bool = False) -> None:
    """Prints text that may hold names of files and columns, whatever these hold."""
    import typer

    typer.echo(shown(text, lines=True), err=err)


@contextlib.contextmanager
def counted(title: str, *, shown: bool, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Shows how many images are done; yields the function that adds to their number."""
    from iqaloss._progress import progress

    done = 0
    with progress(title, total, shown=shown) as advance:

        def add(images: int) -> None:
            nonlocal done
            done += images
            advance(done)

        yield add


def load_scorer(
    name: str, weights: str | None, tokenizer: str | None = None, options: Mapping[str, Any] | None = None
) -> Scorer:
    """Builds a scorer with its own or with given weights, frozen; a tokenizer lets it read prompts."""
    from iqaloss import create_scorer
    from iqaloss.scorers.layers.wordpiece import ReadsPrompts

    changes = dict(options or {})
    if not known_scorer(name) and weights in (None, INSIDE):
        scorer = create_scorer(name, None, frozen=True, **changes)  # a metric of pyiqa brings its own
    else:
        scorer = create_scorer(name, weights or INSIDE, **changes)
    if tokenizer is not None:
        if not isinstance(scorer, ReadsPrompts):
            raise ValueError(f"{name} reads no prompts: leave --tokenizer out")
        scorer.use_tokenizer(tokenizer)
    return scorer


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """Returns scorer options of the form KEY=VALUE, the value read as YAML.

    Example:
        >>> parse_options(["color_space=HSV", "crop=512"])
        {'color_space': 'HSV', 'crop': 512}
    """
    from iqaloss._errors import optional

    yaml = optional("yaml", "PyYAML", "train", "reading an option")
    found: dict[str, Any] = {}
    for one in given:
        key, equals, text = one.partition("=")
        if not equals or not key:
            raise ValueError(f"an option is written as KEY=VALUE, got {one!r}")
        found[key] = yaml.safe_load(text)
    return found


def known_scorer(name: str) -> bool:
    """Registers the scorer that ``pyiqa:METRIC`` names, and returns whether a scorer is one of ours."""
    prefix, _, metric = name.partition(":")
    if prefix != "pyiqa" or not metric:
        return True
    from iqaloss.integrations.pyiqa.named import register_metric

    register_metric(metric)
    return False


def total_of(source: Source) -> int | None:
    """Returns the number of images, for a bar with the time left; None where nobody watches, as counting takes time."""
    return sum(1 for _ in source) if sys.stderr.isatty() else None
