"""Trains what stands behind the frozen backbones, the same way for every variant of an ablation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqaloss._configs import changed
from iqaloss.training.engine.building import build_optimizer
from iqaloss.training.engine.learning_rate import factor
from iqaloss.training.recipes.files import read_recipe
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.specs.run import ScheduleSpec
from iqaloss.training.state import TrainState
from iqaloss.training.tasks.base import Task, Tensors
from studies.ablations.protocols import Study, Variant

DATASET = "train"


def recipe_for(study: Study, variant: Variant, rate: float) -> Recipe:
    """Returns the published recipe with the study's protocol and the variant's one option."""
    recipe = read_recipe(study.recipe)
    return replace(
        recipe,
        data=replace(recipe.data, train=(replace(recipe.data.train[0], name=DATASET),), validation=()),
        start=(),
        options=changed(recipe.options, variant.options, "options"),
        optimizer=replace(recipe.optimizer, lr=rate),
        schedule=ScheduleSpec("cosine", unit="step"),
        run=replace(recipe.run, epochs=study.epochs),
    )


def build(study: Study, variant: Variant, rate: float, seed: int) -> Task:
    """Builds a variant; the same seed gives all variants of an architecture the same start."""
    torch.manual_seed(seed)
    task = study.task(recipe_for(study, variant, rate), study.config)
    task.scorer.unfreeze()
    task.configure(0)
    return task


def orders(count: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Yields the order of the training images in each epoch; the variant has no say in it."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield torch.randperm(count, generator=generator)


def standardized(inputs: Mapping[str, Tensor], rows: Tensor, spread: float) -> Tensors:
    """Brings every input value to mean 0 and the given standard deviation on the given rows."""
    return {
        name: (values - values[rows].mean(0)) * (spread / values[rows].std(0).clamp_min(1e-6))
        for name, values in inputs.items()
    }


def train(
    study: Study,
    variant: Variant,
    inputs: Mapping[str, Tensor],
    scores: Tensor,
    training: Tensor,
    validation: Tensor,
    *,
    rate: float,
    seed: int,
) -> NDArray[np.float64]:
    """Trains a variant to the last epoch, which is the one that counts, and scores the validation images.

    Args:
        study: The protocol.
        variant: What to train.
        inputs: The stored features, ``[N, C]`` each, by the name that the study's task reads them by.
        scores: Human scores in ``[0, 1]``, ``[N]``.
        training: Indices of the training images.
        validation: Indices of the images to score.
        rate: Learning rate at the start.
        seed: Seed of weights, order and dropout.

    Returns:
        The scores of the validation images.
    """
    ready = standardized(inputs, training, study.spread)
    task = build(study, variant, rate, seed)
    optimizer = build_optimizer(task, task.recipe.optimizer)
    per_epoch = -(-len(training) // study.batch)
    schedule = replace(task.recipe.schedule, period=per_epoch * study.epochs)
    torch.manual_seed(seed)  # dropout: the same draws for every variant
    task.train()
    step = 0
    for order in orders(len(training), study.epochs, seed):
        for rows in training[order].split(study.batch):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor(schedule, step, per_epoch)
            batch = {"score": scores[rows], **{name: values[rows] for name, values in ready.items()}}
            predicted = task.predict(DATASET, batch)
            state = TrainState(step, per_epoch * study.epochs, per_epoch)
            terms = task.losses(DATASET, predicted, {"score": batch["score"]}, state)
            loss = torch.stack(list(terms.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
    task.eval()
    with torch.no_grad():
        final = task.final_score(DATASET, {name: values[validation] for name, values in ready.items()})
    return final.double().numpy()
