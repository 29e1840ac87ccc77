"""The contract of a task: which parameters learn, and which loss on which output."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from iqaloss.scorers.base import Scorer
from iqaloss.scorers.checkpoints import TRAINED, UNFINISHED
from iqaloss.training import objectives
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState

Batch = Mapping[str, Any]
Tensors = dict[str, Tensor]
T = TypeVar("T", bound="type[Task]")

LINKS = {"fidelity": "paper", "fidelity_released": "released"}
VOTES = "votes"

OBJECTIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": objectives.l1,
    "mse": objectives.mse,
    "nin": objectives.norm_in_norm,
    "plcc": objectives.plcc,
    "plcc_unbiased": objectives.plcc_unbiased,
    **{name: partial(objectives.fidelity, link=link) for name, link in LINKS.items()},
    "ranking": objectives.ranking,
}
"""What a recipe's ``losses`` may name: functions of predictions and targets, both ``[B]``."""

_TASKS: dict[str, type[Task]] = {}


@dataclass(frozen=True)
class NoOptions:
    """A task without options."""


class Task(nn.Module, abc.ABC):
    """A scorer in training, with whatever else learns beside it.

    The module is what data-parallel training wraps: its forward pass predicts, on each process for its own
    images; the predictions of all processes are then joined and :meth:`losses` sees the whole batch.

    Args:
        scorer: The scorer, trainable.
        recipe: The recipe, checked: its options are those of the class.
    """

    options_class: ClassVar[type[Any]] = NoOptions
    extra_losses: ClassVar[tuple[str, ...]] = ()
    """Names of loss terms that the task computes itself."""

    restarts_schedule: ClassVar[bool] = False
    """Whether the learning rate's schedule starts again when the optimiser starts afresh."""

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__()
        self.scorer = scorer
        self.recipe = recipe
        self.options = recipe.options
        self.datasets = {spec.name: spec for spec in (*recipe.data.train, *recipe.data.validation)}
        if any(spec.votes for spec in recipe.data.train) and not set(LINKS) & set(recipe.losses):
            raise ValueError(f"votes teach by {' or '.join(LINKS)}, got the losses {', '.join(recipe.losses)}")

    @classmethod
    def scorer_options(cls, recipe: Recipe) -> dict[str, Any]:
        """Config fields of the scorer that the task's options decide."""
        return {}

    @classmethod
    def load_role(cls, scorer: Scorer, role: str, state: Mapping[str, Tensor]) -> None:
        """Loads an official file's tensors into the scorer."""
        raise ValueError(f"recipe.start: this task knows no official roles, got {role!r}; give module and prefix")

    @classmethod
    def leaves_out(cls, recipe: Recipe) -> tuple[str, ...]:
        """Modules that the task's options leave out of the scorer; a recipe's ``start`` for them is passed over."""
        return ()

    @classmethod
    def unfinished(cls, recipe: Recipe) -> str | None:
        """Returns why what is saved is no whole scorer yet, for a stage that trains some of it; None for a whole."""
        return None

    def finds(self, dimensions: Mapping[str, tuple[str, ...]]) -> None:
        """Is told the dimensions of which each data set has a column, before anything is trained."""

    def configure(self, step: int) -> None:
        """Sets which parameters learn at a step; over time a parameter may only stop learning."""

    def starts_afresh(self, state: TrainState, previous: TrainState) -> bool:
        """Whether the optimiser forgets its moments before this step."""
        return False

    def forward(self, batches: Mapping[str, Batch]) -> dict[str, Tensors]:
        """Predicts for one batch of each data set given."""
        return {name: self.predict(name, batch) for name, batch in batches.items()}

    @abc.abstractmethod
    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Returns what the losses of a data set need, each ``[b, ...]``, for one process's images."""

    def targets(self, dataset: str, batch: Batch) -> Tensors:
        """Returns what the predictions are compared with, each ``[b, ...]``."""
        return {name: batch[name] for name in ("score", VOTES) if name in batch}

    def losses(self, dataset: str, predicted: Tensors, targets: Tensors, state: TrainState) -> Tensors:
        """Returns the weighted terms of a data set for the joined batch of all processes; they add up to its loss."""
        weight = self.datasets[dataset].weight
        if VOTES in targets:
            prefer = objectives.vote_preferences(targets[VOTES])
            return {
                name: weight * share * objectives.fidelity(predicted["score"], prefer=prefer, link=LINKS[name])
                for name, share in self.recipe.losses.items()
                if share and name in LINKS
            }
        return {
            name: weight * share * OBJECTIVES[name](predicted["score"], targets["score"])
            for name, share in self.recipe.losses.items()
            if share and name in OBJECTIVES
        }

    def final_score(self, dataset: str, batch: Batch) -> Tensor:
        """Returns the predictions ``[B]`` that a validation set's scores are compared with."""
        return self.predict(dataset, batch)["score"]

    def trained_scorer(self) -> Scorer:
        """Returns the scorer as it is saved."""
        return self.scorer

    def learning(self) -> str:
        """Returns what of the scorer learns and what stays as it is, in one line."""
        learns, stays, counts = list[str](), list[str](), [0, 0]
        for name, module in self.scorer.named_children():
            sizes = [(value.numel(), value.requires_grad) for value in module.parameters()]
            on, whole = sum(size for size, learning in sizes if learning), sum(size for size, _ in sizes)
            counts = [counts[0] + on, counts[1] + whole]
            if on:
                learns.append(name if on == whole else f"{name} (in part)")
            elif whole:
                stays.append(name)
        rest = f"; frozen: {', '.join(stays)}" if stays else ""
        shown = " of ".join(f"{count / 1e6:.4g}" for count in counts)
        return f"trains {', '.join(learns) or 'nothing of the scorer'}: {shown} million parameters{rest}"

    def notes(self, step: int) -> dict[str, str]:
        """Returns what is stored beside the scorer: its recipe, the modules that learnt, why it is no whole one yet."""
        learnt = {name.split(".")[1] for name, value in self.named_parameters() if value.requires_grad}
        found = {"iqaloss.recipe": self.recipe.title, "iqaloss.step": str(step), TRAINED: ", ".join(sorted(learnt))}
        reason = self.unfinished(self.recipe)
        return found if reason is None else {**found, UNFINISHED: reason}


def register_task(name: str) -> Callable[[T], T]:
    """Class decorator that registers a task under the name that recipes use."""

    def decorate(cls: T) -> T:
        _TASKS[name] = cls
        return cls

    return decorate


def registered() -> dict[str, type[Task]]:
    """Returns the tasks that were registered so far."""
    return _TASKS


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Returns every batch norm of a module."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def flat_crops(images: Tensor) -> tuple[Tensor, int]:
    """Returns ``[B * P, 3, H, W]`` and P for images ``[B, P, 3, H, W]`` or ``[B, 3, H, W]``."""
    if images.ndim == 4:
        return images, 1
    return rearrange(images, "b p c h w -> (b p) c h w"), images.shape[1]


def mean_crops(values: Tensor, crops: int) -> Tensor:
    """Averages values ``[B * P]`` over the P crops of each image."""
    return reduce(values, "(b p) -> b", "mean", p=crops)
