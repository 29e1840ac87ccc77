"""The way of `pred` through a loss is short: few stops, and no file is entered again and again.

How it is counted: one call of the loss is watched with `sys.setprofile`. A stop is a call of a function of this package
that takes a tensor which comes from `pred`: `pred` itself, what shares its memory, or what its graph leads back to; as
an argument or in a closure, also inside a dict, a tuple or a dataclass. The scorer's `forward` is one stop, whatever
happens inside. Comprehensions, lambdas and the attribute `ScoreOutput.score` are no functions of their own, and torch's
calls are nobody's stops. A file is entered where a stop lies in another file than the stop before it.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor

import iqaloss
from iqaloss import IQALoss
from iqaloss.scorers.base import ScoreOutput, Scorer
from testing.cases import CASES, Case, random_pair

PACKAGE = Path(iqaloss.__file__).parent
STOPS = 12
ENTRIES = 2
ATTRIBUTES = {ScoreOutput.score.fget.__code__}  # type: ignore[attr-defined]


def tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(tensors_in, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(tensors_in, value))
    elif dataclasses.is_dataclass(value):
        yield from tensors_in([getattr(value, field.name) for field in dataclasses.fields(value)])


def comes_from(tensor: Tensor, pred: Tensor) -> bool:
    if tensor.untyped_storage().data_ptr() == pred.untyped_storage().data_ptr():
        return True
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            if getattr(node, "variable", None) is pred:
                return True
            waiting += [following for following, _ in node.next_functions]
    return False


def stops(loss: IQALoss, pred: Tensor, target: Tensor | None = None) -> list[tuple[str, str]]:
    """File and name of each function on the way, in order."""
    found: list[tuple[str, str]] = []
    inside: list[FrameType] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and inside and frame is inside[0]:
            inside.clear()
        file = Path(frame.f_code.co_filename)
        if event != "call" or inside or PACKAGE not in file.parents:
            return
        if frame.f_code in ATTRIBUTES or frame.f_code.co_name.startswith("<"):
            return
        if any(comes_from(tensor, pred) for tensor in tensors_in(list(frame.f_locals.values()))):
            found.append((str(file.relative_to(PACKAGE)), frame.f_code.co_name))
        if frame.f_code is Scorer.forward.__code__:
            inside.append(frame)

    sys.setprofile(watch)
    try:
        loss(pred, target)
    finally:
        sys.setprofile(None)
    return found


def entries(way: list[tuple[str, str]]) -> Counter[str]:
    """How often each file is entered."""
    return Counter(file for file, _ in itertools.groupby(file for file, _ in way))


@pytest.mark.parametrize("case", [case for case in CASES if not case.compares], ids=str)
def test_pred_makes_few_stops_and_enters_no_file_again_and_again(case: Case, device: torch.device) -> None:
    loss = case.loss(device)
    way = stops(loss, random_pair(loss)[0])
    assert way[0] == ("losses/iqa_loss.py", "forward")
    assert ("scorers/base.py", "forward") in way
    assert len(way) <= STOPS, way
    assert max(entries(way).values()) <= ENTRIES, way


@pytest.mark.parametrize("case", [case for case in CASES if case.label.endswith("fr")], ids=str)
def test_with_a_target_pred_makes_one_more_stop_for_each_map(case: Case, device: torch.device) -> None:
    loss = case.loss(device)
    way = stops(loss, *random_pair(loss))
    assert len(way) <= STOPS - 1 + len(loss.compared_features()), way
    assert max(entries(way).values()) <= ENTRIES, way


@pytest.mark.parametrize("case", [case for case in CASES if case.label.endswith("both")], ids=str)
def test_both_ways_share_the_stops_up_to_the_scorer(case: Case, device: torch.device) -> None:
    """No more than the no-reference way, the full-reference terms and one stop for each map."""
    loss = case.loss(device)
    way = stops(loss, *random_pair(loss))
    assert len(way) <= STOPS + 1 + len(loss.compared_features()), way
    assert [name for _, name in way].count("prepare") == 1
    assert max(entries(way).values()) <= ENTRIES, way
