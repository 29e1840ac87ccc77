"""Whatever a loss is called with: an error in its own words or the right finite answer, for as long as one likes."""

from __future__ import annotations

import os
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from iqaloss import IQALoss
from testing.cases import tiny

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SCORERS = ("mdiqa-mobile", "pmt-iqa", "lar-iqa")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
OTHERS = (torch.uint8, torch.int64, torch.bool, torch.complex64)
SOAK = int(os.environ.get("IQALOSS_SOAK_STEPS", "20000"))


def flat(images: Tensor) -> Tensor:
    return images


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": flat,
    "channels last": lambda images: (
        images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
    ),
    "every second": lambda images: images.repeat_interleave(2, -1)[..., ::2],
    "turned": lambda images: images.transpose(-1, -2).contiguous().transpose(-1, -2),
    "inside a larger one": lambda images: torch.nn.functional.pad(images.float(), (3, 2)).to(images.dtype)[..., 3:-2],
    "one for all": lambda images: images[:1].expand(images.shape),
}


@dataclass(frozen=True)
class Images:
    """How images are made.

    Attributes:
        shape: Their shape.
        dtype: Their number type.
        layout: How they lie in memory.
        low: Their smallest value.
        high: Their largest.
        special: A value that is put into them.
        seed: What their pixels follow from.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    layout: str
    low: float
    high: float
    special: float | None
    seed: int

    def make(self) -> Tensor:
        """Returns the images."""
        values = torch.rand(self.shape, generator=torch.Generator().manual_seed(self.seed))
        values = self.low + (self.high - self.low) * values
        if self.special is not None and values.numel():
            values.view(-1)[values.numel() // 2] = self.special
        values = values.to(self.dtype)
        return LAYOUTS[self.layout](values) if values.ndim > 2 and values.numel() else values


sides = st.sampled_from((1, 31, 32, 33, 48, 65))
good_sides = st.sampled_from((32, 33, 48, 65))
good_shapes = st.tuples(st.sampled_from((1, 2)), st.just(3), good_sides, good_sides)
shapes = st.one_of(
    good_shapes,
    st.tuples(st.integers(0, 2), st.sampled_from((1, 3, 4)), sides, sides),
    st.lists(st.sampled_from((1, 3, 32)), max_size=5).map(tuple),
)
good_ranges = st.sampled_from(((0.0, 1.0), (-0.1, 1.1), (-1.0, 1.0), (0.0, 255.0), (0.5, 0.5)))
ranges = st.one_of(good_ranges, st.just((-1e38, 1e38)))
specials = st.sampled_from((None, float("nan"), float("inf"), -float("inf"), 3e38, 1e-45))
seeds, layouts = st.integers(0, 99), st.sampled_from(sorted(LAYOUTS))


@st.composite
def images(draw: Any) -> Images:
    """Images that are all right, or ones of which anything may be wrong."""
    if draw(st.booleans()):
        drawn = good_shapes, st.sampled_from(FLOATS), layouts, good_ranges, st.none()
    else:
        drawn = shapes, st.sampled_from((*FLOATS, *OTHERS)), layouts, ranges, specials
    shape, dtype, layout, (low, high), special = (draw(each) for each in drawn)
    return Images(shape, dtype, layout, low, high, special, draw(seeds))


@st.composite
def calls(draw: Any) -> tuple[str, dict[str, Any], Images, Images | None]:
    """A scorer, a loss's options, a prediction, and a target that mostly goes with it."""
    pred = draw(images())
    alike = Images(**{**vars(pred), "seed": pred.seed + 100, "layout": draw(layouts)})
    target = draw(st.one_of(st.just(alike), st.just(alike), st.just(alike), images(), st.none()))
    options = {
        "mode": draw(st.sampled_from(("nr", "fr", "both"))),
        "clamp": draw(st.sampled_from(("ste", "clip", None))),
        "input_range": draw(st.sampled_from(((0, 1), (0, 1), (-1, 1), (0, 255)))),
        "micro_batch": draw(st.sampled_from((None, 1))),
        "checkpoint": draw(st.booleans()),
        "max_side": draw(st.sampled_from((None, 40))),
    }
    return draw(st.sampled_from(SCORERS)), options, pred, target


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised by this package, in words for a user."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, (ValueError, TypeError)) and "iqaloss" in Path(frames[-1].filename).parts


def clean(given: Images | None) -> Tensor | None:
    """The same pixels as plain float32 images."""
    return None if given is None else given.make().float().contiguous().clone()


def hold(call: tuple[str, dict[str, Any], Images, Images | None]) -> bool:
    """Asserts the law for a call; returns whether it ended in an answer."""
    name, options, pred, target = call
    loss = IQALoss(tiny(name), **options)
    given_pred, given_target = pred.make(), None if target is None else target.make()
    before = given_pred.clone()
    if given_pred.is_floating_point():
        given_pred.requires_grad_()
    try:
        value = loss(given_pred, given_target)
        if value.requires_grad:
            value.backward()
        loss.check()
    except Exception as error:
        if is_ours(error):
            return False
        raise
    assert value.dtype is torch.float32
    assert value.isfinite()
    assert value.requires_grad
    assert given_pred.grad is not None
    assert given_pred.grad.isfinite().all()
    assert torch.equal(given_pred.detach(), before)
    reference = IQALoss(
        tiny(name), mode=options["mode"], **{key: options[key] for key in ("clamp", "input_range", "max_side")}
    )
    torch.testing.assert_close(value.detach(), reference(clean(pred), clean(target)).detach(), rtol=1e-3, atol=1e-4)
    return True


ANSWERED: Counter[bool] = Counter()
QUIET = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(call=calls())
@settings(max_examples=8, **QUIET)
def test_a_call_ends_in_an_error_of_ours_or_the_right_finite_answer(call: Any) -> None:
    hold(call)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(call=calls())
@settings(max_examples=1500, **QUIET)
def test_any_call_ends_in_an_error_of_ours_or_the_right_finite_answer(call: Any) -> None:
    ANSWERED[hold(call)] += 1


@pytest.mark.slow
def test_enough_of_the_calls_ended_in_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\ncalls of a loss: {ANSWERED[True]} answers, {ANSWERED[False]} errors")
    assert 4 * ANSWERED[True] >= sum(ANSWERED.values())


def memory() -> int:
    """Bytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read where Linux tells it")
def test_memory_stays_flat_over_twenty_thousand_steps() -> None:
    loss = IQALoss(tiny("pmt-iqa"), mode="both")
    pairs = [torch.rand(2, 1, 3, side, side) for side in (32, 40, 48)]
    seen = []
    for step in range(SOAK):
        pred, target = pairs[step % len(pairs)]
        loss(pred.clone().requires_grad_(), target).backward()
        if step % max(1, SOAK // 100) == 0:
            seen.append(memory())
    early, late = max(seen[10:20]), max(seen[-10:])
    assert late <= 1.01 * early, f"{early} bytes became {late} over {SOAK} steps"


class Scored(Dataset[Any]):
    """Pairs of images, and what the loss says of them in the process that loads them."""

    def __init__(self, loss: IQALoss, length: int) -> None:
        self.loss, self.length = loss, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        pred, target = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(index))
        return pred, target, self.loss(pred[None], target[None]).detach()


@pytest.mark.slow
def test_four_threads_and_the_workers_of_a_loader_use_one_loss() -> None:
    loss = IQALoss(tiny("pmt-iqa"), mode="both")
    length = max(16, SOAK // 50)
    loader = DataLoader(Scored(loss, length), batch_size=1, num_workers=2, multiprocessing_context="spawn")
    lock, batches, done = threading.Lock(), iter(loader), []

    def follow() -> None:
        while True:
            with lock:
                batch = next(batches, None)
            if batch is None:
                return
            pred, target, said = batch
            value = loss(pred.requires_grad_(), target)
            value.backward()
            torch.testing.assert_close(value.detach(), said[0], rtol=1e-5, atol=1e-6)
            alone = torch.autograd.grad(loss(again := pred.detach().requires_grad_(), target), again)[0]
            torch.testing.assert_close(pred.grad, alone)
            done.append(1)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(follow) for _ in range(4)]:
            future.result()
    assert len(done) == length
