"""The full-reference distance: which channel of which level speaks for which dimension."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqaloss._progress import Stages
from iqaloss.evaluation.probes.degradations import PROPERTIES
from iqaloss.scorers.checkpoints import save
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.scorers.request import Request
from scorer_recipes.mdiqa_mobile.inputs import degraded_groups, step_generator
from scorer_recipes.mdiqa_mobile.options import add_data, open_run
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.report import FILE, NAME, made_with, notes_of, say
from scorer_recipes.mdiqa_mobile.run import Run

GROUPS = 320
"""Degraded photographs, in three strengths each, that the shares are measured on."""


def differences(scorer: MDIQA, run: Run, seed: int, groups: int = GROUPS) -> Iterator[tuple[Tensor, int]]:
    """Yields what each channel of the levels makes of a degradation, ``[C]``, and the number of the dimension lost.

    Args:
        scorer: A frozen scorer that compares levels.
        run: Photographs and degradations.
        seed: Draws both.
        groups: How many photographs are degraded.
    """
    recipe = Recipe(groups=1, crop_sizes=(128,), base_share=0.0)
    with torch.no_grad():
        for number in range(groups):
            (group,) = degraded_groups(run.source, recipe, step_generator(seed, number, 9))
            levels = scorer(group.images, Request(features=None)).features
            squared = [(level[1:] - level[:1]).square().mean(dim=(2, 3)) for level in levels.values()]
            yield torch.cat(squared, dim=1).mean(dim=0), int(group.matching.argmax())
            run.progress("distances", number + 1, groups)


def shares(found: list[tuple[Tensor, int]], power: float = 4.0) -> Tensor:
    """Returns how much of each channel belongs to each dimension, ``[D, C]``; the shares of a channel add up to one.

    A channel belongs to what moves it: the mean of its differences over the degradations of a dimension, each dimension
    divided by what it moves altogether, so that none owns all for being the strongest.

    Args:
        found: What :func:`differences` yields.
        power: How sharply channels are parted.

    Example:
        >>> lit = [(torch.tensor([1.0, 3.0]), 0), (torch.tensor([3.0, 1.0]), 1)]
        >>> shares(lit)[:2]
        tensor([[0.0122, 0.9878],
                [0.9878, 0.0122]])
    """
    means = torch.stack(
        [
            torch.stack(own).mean(dim=0) if own else torch.zeros_like(found[0][0])
            for own in ([moved for moved, lost in found if lost == number] for number in range(len(PROPERTIES)))
        ]
    )
    part = means / means.sum(dim=1, keepdim=True).clamp_min(1e-12)
    part = (part / part.amax(dim=0).clamp_min(1e-12)).pow(power)  # the largest is one: powers of small shares vanish
    return part / part.sum(dim=0, keepdim=True).clamp_min(1e-12)


def comparing_levels(scorer: MDIQA) -> MDIQA:
    """Returns a copy of a scorer that compares levels, all channels alike for every dimension."""
    found = type(scorer)(scorer.card, dataclasses.replace(scorer.config, compare_levels=True))
    if found.comparison is None:
        raise TypeError("a scorer that compares levels has nothing to compare them with")
    found.load_state_dict({**scorer.state_dict(), "comparison.weights": found.comparison.weights})
    return found.to(scorer.mean.device)


@torch.no_grad()
def with_distances(scorer: MDIQA, run: Run) -> MDIQA:
    """Returns the scorer as one that compares levels, each dimension by its own channels.

    With equal weights of the dimensions the distance is that of all channels alike.

    Args:
        scorer: A trained scorer.
        run: Photographs and degradations.
    """
    found = comparing_levels(scorer).freeze()
    parts = shares(list(differences(found, run, run.recipe.seed)))
    if found.comparison is not None:
        found.comparison.weights.copy_(len(parts) * parts / len(found.level_names))
    return found


def compare(arguments: Sequence[str]) -> int:
    """Gives a trained file the distances of full-reference mode; everything else in it stays as it is."""
    parser = argparse.ArgumentParser(
        prog="python -m scorer_recipes.mdiqa_mobile compare",
        description="Measure which channels of the backbone speak for which dimension, and write a file that knows it.",
    )
    parser.add_argument("file", type=Path, help="safetensors file written by the training")
    add_data(parser, "folder of the training, or another")
    given = parser.parse_args(arguments)
    scorer = create_scorer(NAME, given.file)
    if not isinstance(scorer, MDIQA):
        raise TypeError(f"{NAME} is a {type(scorer).__name__}, expected MDIQA")
    given.out.mkdir(parents=True, exist_ok=True)
    with Stages() as progress:
        run = open_run(given, Recipe(seed=made_with(given.file)["seed"]), progress)
        found = with_distances(scorer, run)
    say(f"wrote {save(found, given.out / FILE, dtype=torch.float16, **notes_of(given.file))}")
    return 0
