"""``iqaloss models``: which scorers there are, what they cost and what they need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from iqaloss.cli import options


def models(
    name: Annotated[
        str | None, typer.Argument(help="One scorer, to be told where its weights come from; or: get NAME.")
    ] = None,
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="After get: the scorer, a recipe, or a file that one starts from."),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="get: a folder on a server that has the files, by their names.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="get: fetch nothing, look into the cache alone.")] = False,
    size: Annotated[
        str | None, typer.Option(metavar="HEIGHTxWIDTH", help="Count parameters and GMACs for one image of this size.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the scorers: dimensions, cost, license, weights; or tell what one of them needs.

    Example: iqaloss models mdiqa

    Fetch what its authors publish for programs: iqaloss models get sr-iqa

    Fetch what a recipe starts from, to where it looks for it: iqaloss models get pmt_iqa_bid

    What would an image of 384x512 cost? iqaloss models mdiqa --size 384x512 (also pyiqa:METRIC)
    """
    from iqaloss.cli.display import show
    from iqaloss.scorers.registry import entry, list_scorers

    if name == "get":
        typer.echo(_fetched(wanted, mirror, offline))
        return
    if wanted is not None or mirror is not None or offline:
        raise ValueError(
            f"iqaloss models takes one name; to fetch files: iqaloss models get {wanted or name or 'NAME'}"
        )
    if size is not None:
        height, width = _read_size(size)
        costs = [_counted(each, height, width) for each in ([name] if name else list_scorers())]
        if as_json:
            typer.echo(json.dumps(costs))
        else:
            show(costs, f"one image of {height}x{width}, what is done to it before the network counted too")
        return

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


def _fetched(name: str | None, mirror: str | None, offline: bool) -> str:
    from iqaloss.scorers import downloads
    from iqaloss.scorers.registry import entry, list_scorers
    from iqaloss.training.recipes import list_recipes, read_recipe
    from iqaloss.training.starts import START_FILES, fetched, starts_of

    if name is None:
        raise ValueError(f"iqaloss models get takes the name of a recipe, or one of: {', '.join(list_scorers())}")
    if name not in list_scorers() and name in (*list_recipes(), *START_FILES):
        paths = [Path("weights", name)] if name in START_FILES else starts_of(read_recipe(name))
        return "\n".join(fetched(paths, downloads.Source(mirror, offline)))
    card = entry(name).card
    if card.embedded is not None:
        return f"{name}: its weights are inside the package"
    folder = downloads.cache_folder() / name
    source = downloads.Source(mirror, offline)
    lines = [
        f"{file.role}: {downloads.get(file, folder, source)} (licence: {file.license})"
        for file in card.files
        if file.url
    ]
    for file in card.files:
        if not file.url:
            kind = "optional" if file.optional else "needed"
            names = ", ".join(file.patterns) or "no file of its own"
            lines.append(f"{file.role} ({kind}, {names}): not for programs to fetch; published at {file.published_at}")
    use = f'create_scorer("{name}", weights="{folder}") converts them'
    return "\n".join([*lines, f"Put what is fetched by hand into {folder}; {use}"])


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


def _read_size(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.lower().split("x") if side.isdecimal()]
    if len(sides) != 2 or not all(sides):
        raise ValueError(f"--size takes HEIGHTxWIDTH, such as 384x512; got {text!r}")
    return sides[0], sides[1]


def _counted(name: str, height: int, width: int) -> dict[str, Any]:
    """Builds a scorer with random weights, which cost what others do, and counts one look at an image."""
    import torch

    from iqaloss import create_scorer
    from iqaloss.cli.display import known_scorer
    from iqaloss.tuning.costs import counted

    known_scorer(name)
    scorer = create_scorer(name, weights=None, frozen=True)
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        flops, _ = counted(lambda: scorer(image))
    parameters = sum(weight.numel() for weight in scorer.parameters())
    return {"scorer": name, "million parameters": parameters / 1e6, "GMACs": flops / 2e9}
