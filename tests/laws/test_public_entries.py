"""Whatever is passed to a public name: an error in its own words, or an answer that is finite."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, create_scorer, load_official
from iqaloss.data import open_images, open_rated
from iqaloss.losses.options import loss_options
from iqaloss.losses.registry import list_losses, loss_class, read_spec
from iqaloss.scorers.factory import build, create_tiny
from iqaloss.scorers.registry import entry, list_scorers
from testing.cases import tiny
from testing.hostile import is_told, odd_arguments, spoilt
from testing.tiny_data import write_rated_images

Entry = tuple[str, Callable[[], Any]]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")


def hold(entries: Iterator[Entry], every: int = 1) -> Counter[str]:
    """Asserts the law for each entry, or for one in so many of them; returns how they ended."""
    ended: Counter[str] = Counter()
    for number, (done, call) in enumerate(entries):
        if number % every:
            continue
        try:
            answer = call()
        except Exception as error:
            if not is_told(error):
                raise AssertionError(f"{done}: {type(error).__name__}: {error}") from error
            ended["told"] += 1
        else:
            assert not isinstance(answer, Tensor) or answer.isfinite().all(), done
            ended["answered"] += 1
    return ended


def step(loss: type[IQALoss], pred: Tensor, target: Tensor, options: dict[str, Any]) -> Tensor:
    """The value and the gradient of a loss with some options."""
    seen = pred.clone().requires_grad_()
    value = loss(**options)(seen, target)
    value.sum().backward()
    return torch.cat([value.detach().flatten(), torch.zeros(1) if seen.grad is None else seen.grad.flatten()])


def losses() -> Iterator[Entry]:
    """Every option of every loss."""
    for name in list_losses():
        loss = loss_class(name)
        scorer = tiny(str(loss_options(loss)["scorer"]))
        side = max(32, scorer.card.min_side)
        pred, target = torch.rand(2, 1, 3, side, side, generator=torch.Generator().manual_seed(0))
        for option in loss_options(loss):
            for kind, value in odd_arguments().items():
                yield f"{name} {option}: {kind}", partial(step, loss, pred, target, {"scorer": scorer, option: value})


def specs() -> Iterator[Entry]:
    """What a recipe says of a loss, or of a sum of them."""
    loss = {"type": "MDIQALoss", "scorer": {"name": "mdiqa-mobile"}, "mode": "nr", "weights": {"sharpness": 2.0}}
    for whole in (loss, {"type": "IQALossSum", "losses": {"one": loss}, "loss_weight": 1.0}):
        for done, options in spoilt(whole):
            yield done, lambda options=options: read_spec(options).check()


def scorers() -> Iterator[Entry]:
    """Names, weights and official files of a scorer."""
    for kind, value in odd_arguments().items():
        yield f"name: {kind}", partial(create_scorer, value)
        yield f"tiny: {kind}", partial(create_tiny, value)
        if value is not None:
            yield f"weights: {kind}", partial(create_scorer, "mdiqa-mobile", value)
        yield f"files: {kind}", partial(load_official, "mdiqa", value)
        roles = dict.fromkeys(("technical", "aesthetic", "fusion"), value)
        yield f"roles: {kind}", partial(load_official, "mdiqa", roles)


def configs(name: str) -> Iterator[Entry]:
    """The fields of a scorer's config, nested ones too."""
    item = entry(name)
    for field, old in vars(item.tiny).items():
        for place in ((field,), *((field, inner) for inner in getattr(old, "__dataclass_fields__", ()))):
            for kind, value in odd_arguments().items():
                options = value
                for word in reversed(place):
                    options = {word: options}
                yield f"{name} {place}: {kind}", partial(build, item, item.tiny, options)


def doors(table: Path) -> Iterator[Entry]:
    """Every argument of the doors to images."""
    for door in (open_rated, open_images):
        first, *others = inspect.signature(door).parameters
        for kind, value in odd_arguments().items():
            yield f"{door.__name__} {first}: {kind}", partial(door, value)
            for other in others:
                yield f"{door.__name__} {other}: {kind}", partial(door, **{first: table, other: value})


def calls() -> Iterator[Entry]:
    """What a scorer and a loss are called with."""
    scorer, images = tiny("mdiqa-mobile"), torch.rand(1, 3, 64, 64)
    loss = IQALoss(scorer, "fr")
    for kind, value in odd_arguments().items():
        yield f"images: {kind}", partial(scorer, value)
        if value is not None:
            yield f"request: {kind}", partial(scorer, images, value)
            yield f"step: {kind}", partial(loss.set_step, value)
        yield f"pred: {kind}", partial(loss, value, images)
        yield f"target: {kind}", partial(loss, images, value)
        yield f"encoded: {kind}", partial(loss.encode, value)


def test_what_is_passed_to_a_public_name_is_told_or_answered(tmp_path: Path) -> None:
    table = write_rated_images(tmp_path / "rated", 4, side=8)
    for entries, every in ((losses(), 401), (specs(), 31), (scorers(), 11), (doors(table), 29), (calls(), 7)):
        hold(entries, every)
    for name in ("pmt-iqa", "moe-agiqa"):
        hold(configs(name), 151)


@pytest.mark.slow
def test_anything_passed_to_a_public_name_is_told_or_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_rated_images(tmp_path / "rated", 4, side=8)
    every = {"losses": losses(), "specs": specs(), "scorers": scorers(), "doors": doors(table), "calls": calls()}
    every |= {f"config of {name}": configs(name) for name in list_scorers()}
    for name, entries in every.items():
        ended = hold(entries)
        with capsys.disabled():
            print(f"\n{name}: {ended.total()} calls, {ended['told']} told, {ended['answered']} answered")
