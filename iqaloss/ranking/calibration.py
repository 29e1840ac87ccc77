"""From votes to a scorer that knows them: the recipe of a calibration (Eq. 3 to 6 of the SR-IQA paper)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqaloss._files import write_text
from iqaloss.data.tables import read_table
from iqaloss.ranking.models import fit
from iqaloss.ranking.reading import read_votes
from iqaloss.scorers.checkpoints import made_for, read_metadata
from iqaloss.training.engine.checkpointing import STATE
from iqaloss.training.engine.data import read_ranking
from iqaloss.training.recipes.files import recipe_from
from iqaloss.training.specs.recipe import Recipe

OWN_TASKS = {"sr-iqa": "sr_iqa_calibrate"}
"""Scorers that have a rectifier of their own, to the task that trains it; the others get one beside them."""

LEARNING_RATES = {"rectifier": 1e-3, "everything": 1e-5}


def ranking_of(path: str | Path, voters: int | None = None) -> dict[str, float]:
    """Returns method to score, from a table of votes by Thurstone's model, or from one that has method and score.

    Args:
        path: The table.
        voters: People behind each share, for a table of shares.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "votes.csv"
        >>> _ = path.write_text("winner,loser\\nA,B\\nA,B\\nA,B\\nB,A\\n")
        >>> {method: round(score, 4) for method, score in ranking_of(path).items()}
        {'A': 0.3372, 'B': -0.3372}
    """
    table = read_table(path)
    if table.find("method") and table.find("score"):
        return read_ranking(path)
    ranking = fit(read_votes(path, voters))
    return {ranking.methods[k]: float(ranking.scores[k]) for k in ranking.order()}


def write_ranking(path: str | Path, ranking: Mapping[str, float]) -> None:
    """Writes the table ``method,score`` that calibration reads; scores that differ by rounding alone are equal (Eq. 3).

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ranking.csv"
        >>> write_ranking(path, {"A": 0.5, "B": -0.5})
        >>> read_ranking(path)
        {'A': 0.5, 'B': -0.5}
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("method", "score"), *((name, round(score, 9)) for name, score in ranking.items())])
    write_text(path, text.getvalue())


def settle_ranking(folder: str | Path, ranking: Mapping[str, float]) -> Path:
    """Writes the ranking into the folder of a training; a training that is there already keeps its own.

    Raises:
        ValueError: If the training there was begun with another ranking.

    Example:
        >>> import tempfile
        >>> settle_ranking(Path(tempfile.mkdtemp()), {"A": 0.5, "B": -0.5}).name
        'ranking.csv'
    """
    path = Path(folder) / "ranking.csv"
    if not (Path(folder) / STATE).is_file() or not path.is_file():
        write_ranking(path, ranking)
    elif read_ranking(path) != {name: round(score, 9) for name, score in ranking.items()}:
        raise ValueError(f"{folder} holds a training that was begun with another ranking: choose another folder")
    return path


def calibration_recipe(
    scorer: str,
    images: str | Path,
    ranking: str | Path,
    *,
    weights: str | Path | None = "default",
    learns: str = "rectifier",
    link: str = "paper",
    batch_size: int = 64,
    steps: int = 200,
    lr: float | None = None,
    crop: int = 224,
    rated: str | Path | None = None,
    rated_images: str | Path | None = None,
    seed: int = 123,
    changes: Sequence[str] = (),
) -> Recipe:
    """Returns the recipe that calibrates a scorer: methods' mean scores must agree with the ranking of the methods.

    Args:
        scorer: A registered name.
        images: Folder of folders of outputs, one for each method; methods that are not ranked are left out.
        ranking: The table ``method,score``.
        weights: What to start from: ``"default"``, a checkpoint or a folder; None for the scorer as it is built.
        learns: ``"rectifier"``, on top of the frozen scorer, or ``"everything"`` in the scorer, without a rectifier.
        link: Which probability a difference of mean scores stands for: ``"paper"`` (Eq. 4) or ``"released"``.
        batch_size: B of Eq. 4: images of each method in one step; 1 makes single images obey the ranking.
        steps: Optimiser steps.
        lr: Learning rate; by default 1e-3 for the rectifier, 1e-5 for everything.
        crop: Side of the random crops; smaller images are enlarged.
        rated: A table of human scores (or a published set) that teaches beside the ranking (Eq. 6), four fifths of
            it; the last fifth chooses the best checkpoint. Without it the ranking teaches alone.
        rated_images: Folder of that table's images.
        seed: Seed of everything.
        changes: Changes to the recipe, such as ``"data.methods.weight=0.5"``, which is lambda_2.

    Raises:
        ValueError: If a value does not fit.

    Example:
        >>> calibration_recipe("mdiqa-mobile", "outputs", "ranking.csv", batch_size=1).data.methods.batch_size
        1
    """
    own = OWN_TASKS.get(scorer)
    cropped = {"crop": crop, "random": True, "crops": 3 if own else 1, "flip": 0.5, "small": "resize"}
    common = {"data": str(rated), "images": None if rated_images is None else str(rated_images)}
    common |= {"shares": {"train": 0.8, "val": 0.2}}  # type: ignore[dict-item]
    teaches = {**common, "name": "rated", "share": "train", "batch_size": 16, "transform": cropped}
    methods = {"name": "methods", "folder": str(images), "ranking": str(ranking), "batch_size": batch_size}
    started, start = _start(scorer, weights, own is not None)
    values: dict[str, Any] = {
        "title": f"{scorer} calibrated by {Path(ranking).name}",
        "scorer": started,
        "start": start,
        "task": own or "calibrate",
        "options": {"learns": learns, "link": link},
        "data": {
            "methods": {**methods, "transform": cropped},
            "train": [] if rated is None else [teaches],
            "validation": [] if rated is None else [{**common, "name": "held_out", "share": "val"}],
        },
        "run": {"steps": steps, "seed": seed, "save_every": max(1, min(50, steps))},
        "losses": {"fidelity": 1.0, "ranking_of_methods": 1.0},
        "optimizer": {
            "name": "adamw",
            "lr": LEARNING_RATES.get(learns, 0.0) if lr is None else lr,
            "weight_decay": 1e-3,
        },
        "schedule": {"name": "cosine", "unit": "step", "period": steps},
    }
    return recipe_from(values, changes, "calibration")


def _start(scorer: str, weights: str | Path | None, own: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the recipe says of the scorer and its weights; SR-IQA's first stage has no rectifier yet."""
    given = None if weights is None else str(weights)
    file = Path(given or "")
    if own and given and made_for(file) == scorer:
        config = json.loads(read_metadata(file)["iqaloss.config"])
        if not config["rectified"]:
            module = {"file": given, "module": "clip", "prefix": "clip."}
            return {"name": scorer, "options": {**config, "rectified": True}}, [module]
    return {"name": scorer, "weights": given}, []
