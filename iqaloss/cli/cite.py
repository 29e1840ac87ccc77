"""``iqaloss cite``: what a paper must say of what it used."""

from __future__ import annotations

from typing import Annotated

import typer

from iqaloss.cli import options


def cite(
    scorer: Annotated[str, typer.Argument(help=options.SCORER_HELP)] = "mdiqa-mobile",
    weights: options.Weights = None,
) -> None:
    """Print the paper, the weights' digest and the version that a paper needs to name.

    Example: iqaloss cite mdiqa-mobile
    """
    import torch

    from iqaloss import __version__
    from iqaloss.report.provenance import scorer_digest
    from iqaloss.scorers.registry import entry

    card = entry(scorer).card
    given = None if weights == options.INSIDE else weights
    digest = scorer_digest(scorer, given)
    kind = "weights given by you" if given else "weights inside the package" if card.embedded else "no weights named"
    typer.echo(
        f"Model:    {card.name}, {card.title}\n"
        f"Paper:    {card.paper}\n"
        f"Weights:  {kind}, sha256 {digest}\n"
        f"Software: iqaloss {__version__}, torch {torch.__version__}\n\n"
        f"In a sentence: Quality was measured with {card.name} ({card.paper}) as implemented in iqaloss {__version__}, "
        f"weights sha256 {digest[:12]}."
    )
