"""``iqaloss models``: which scorers there are, what they cost and what they need."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from iqaloss.cli import options


def models(
    name: Annotated[str | None, typer.Argument(help="One scorer, to be told where its weights come from.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the scorers: dimensions, cost, license, weights; or tell what one of them needs.

    Example: iqaloss models mdiqa
    """
    from iqaloss.cli.display import show
    from iqaloss.scorers.registry import entry, list_scorers

    if name is not None:
        card = entry(name).card
        typer.echo(f"{card.title}\n{card.paper}\ndimensions: {', '.join(card.dimensions) or 'none, one score'}")
        inside = card.embedded
        typer.echo(card.how_to_get_weights() if inside is None else f"weights: inside the package ({inside.license})")
        return
    rows = [_row(each) for each in list_scorers()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        show(rows, "scorers")


def _row(name: str) -> dict[str, Any]:
    from iqaloss.scorers.costs import COSTS
    from iqaloss.scorers.registry import entry

    card = entry(name).card
    cost = COSTS.get(name)
    return {
        "name": name,
        "what": card.title,
        "dimensions": ", ".join(card.dimensions) or "one score",
        "cost": "not counted" if cost is None else f"{cost[0]:g} M parameters, {cost[1]:g} GMACs",
        "license": card.code_license,
        "weights": "inside the package" if card.embedded else f"iqaloss models {name} tells",
    }
