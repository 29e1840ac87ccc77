"""``iqaloss scorers``: which scorers there are, and what they need."""

from __future__ import annotations

from typing import Annotated

import typer


def scorers(
    name: Annotated[str | None, typer.Argument(help="One scorer, to be told where its weights come from.")] = None,
) -> None:
    """List the scorers, or tell what one of them needs.

    Example: iqaloss scorers mdiqa
    """
    from iqaloss import list_scorers
    from iqaloss.cli.display import show
    from iqaloss.scorers.registry import entry

    if name is not None:
        card = entry(name).card
        typer.echo(f"{card.title}\n{card.paper}\ndimensions: {', '.join(card.dimensions) or 'none, one score'}")
        inside = card.embedded
        typer.echo(card.how_to_get_weights() if inside is None else f"weights: inside the package ({inside.license})")
        return
    rows = []
    for each in list_scorers():
        card = entry(each).card
        source = "inside the package" if card.embedded else f"iqaloss scorers {each} tells"
        rows.append({"name": each, "what": card.title, "dimensions": ", ".join(card.dimensions), "weights": source})
    show(rows, "scorers")
