"""The recipe of a fine-tuning, made of a table of human scores and a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iqaloss.scorers.registry import entry
from iqaloss.training.recipes.files import recipe_from
from iqaloss.training.specs.recipe import Recipe


def finetune_recipe(
    scorer: str,
    data: str | Path,
    images: str | Path | None = None,
    *,
    weights: str | None = "default",
    validation: float = 0.2,
    epochs: int = 10,
    batch_size: int = 16,
    lr: float = 1e-5,
    crop: int = 224,
    layout: str | None = None,
    lower_is_better: bool | None = None,
    score_column: str | None = None,
    skip_bad: bool = False,
    tokenizer: str | None = None,
    prompts: str | None = None,
    split_by: str = "table",
    changes: Sequence[str] = (),
) -> Recipe:
    """Returns a recipe that fits a scorer to human scores: random crops, NiN and squared error, AdamW.

    Columns of the scorer's dimensions are learnt too. What the scorer's own recipe keeps frozen stays as it is.

    Args:
        scorer: A registered name.
        data: A table of images and scores (CSV, Excel, Parquet, ...), the folder of a published set, or a folder that
            holds one table beside its images.
        images: Folder of a table's images.
        weights: What to start from: ``"default"``, a checkpoint or a folder; None for random weights.
        validation: Share of the images, whole content groups, that chooses the best checkpoint, unless the table says
            which do.
        epochs: Passes over the data.
        batch_size: Images in one step, over all processes.
        lr: Learning rate.
        crop: Side of the random crops; smaller images are enlarged.
        layout: Name of a folder's layout; recognised by default.
        lower_is_better: Whether a low score in the table means a good image; by default for a column named ``dmos``.
        score_column: Name of the table's column of human scores; found by its name by default.
        skip_bad: Whether bad rows are left out.
        tokenizer: A BERT ``vocab.txt`` or its folder, for a scorer that reads prompts; by default its checkpoint's.
        prompts: A prompt for all images, or a table of them, for such a scorer; by default the data's.
        split_by: ``"table"`` takes the training and validation rows of the table's split column, where it has one;
            ``"group"`` and ``"image"`` split all rows.
        changes: Changes to the recipe, such as ``"run.ema=0.999"``.

    Raises:
        ValueError: If a value does not fit.

    Example:
        >>> finetune_recipe("mdiqa-mobile", "scores.csv", "photos", epochs=3).run.epochs
        3
    """
    values = finetune_values(
        scorer,
        data,
        images,
        weights=weights,
        validation=validation,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        crop=crop,
        layout=layout,
        lower_is_better=lower_is_better,
        score_column=score_column,
        skip_bad=skip_bad,
        tokenizer=tokenizer,
        prompts=prompts,
        split_by=split_by,
    )
    return recipe_from(values, changes, "fine-tuning")


def finetune_values(
    scorer: str,
    data: str | Path,
    images: str | Path | None = None,
    *,
    weights: str | None = "default",
    validation: float = 0.2,
    epochs: int = 10,
    batch_size: int = 16,
    lr: float = 1e-5,
    crop: int = 224,
    layout: str | None = None,
    lower_is_better: bool | None = None,
    score_column: str | None = None,
    skip_bad: bool = False,
    tokenizer: str | None = None,
    prompts: str | None = None,
    split_by: str = "group",
) -> dict[str, Any]:
    """Returns the plain values of :func:`finetune_recipe`, which explains them; here all rows are split by default."""
    if not 0.0 < validation < 1.0:
        raise ValueError(f"validation must be a share inside (0, 1), got {validation}")
    cropped = {"crop": crop, "random": True, "flip": 0.5, "small": "resize"}
    common: dict[str, Any] = {
        "data": str(data),
        "images": None if images is None else str(images),
        "shares": {"train": 1.0 - validation, "val": validation},
        "layout": layout,
        "lower_is_better": lower_is_better,
        "score_column": score_column,
        "skip_bad": skip_bad,
        "prompts": prompts,
        "split_by": split_by,
    }
    learnt = {"transform": cropped, "dimensions": list(entry(scorer).card.dimensions)}
    return {
        "title": f"{scorer} fitted to {Path(data).name}",
        "scorer": {"name": scorer, "weights": weights},
        "task": "score",
        "options": {"tokenizer": tokenizer},
        "data": {
            "train": [{**common, "name": "train", "share": "train", "batch_size": batch_size, **learnt}],
            "validation": [{**common, "name": "validation", "share": "val"}],
        },
        "run": {"epochs": epochs},
        "losses": {"nin": 1.0, "mse": 1.0},
        "optimizer": {"name": "adamw", "lr": lr, "weight_decay": 1e-5},
        "schedule": {"name": "cosine", "unit": "epoch", "period": None},
    }
