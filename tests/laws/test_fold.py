"""Rewriting a frozen scorer leaves what it computes: batch norms folded, heads joined, constants remembered."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from iqaloss import IQALoss, create_scorer, list_scorers
from iqaloss.losses.recompute import stages
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.checkpoints import save
from iqaloss.scorers.layers.fold import fold_batch_norms
from iqaloss.scorers.layers.frozen_cache import FrozenCache
from iqaloss.scorers.layers.transformer import PositionTable
from iqaloss.scorers.state_dicts import load_strict
from testing.cases import TRACED, tiny
from testing.costs import loss_costs, operations, total_flops

EMBEDDED = "embedded"
NAMES = [*list_scorers(), EMBEDDED]
NORMED = ["lar-iqa", "mdiqa-mobile", "pmt-iqa"]
ALL = Request.everything()
FEATURES = Request(features=None)
ROUNDING = 2e-5 if torch.__version__.startswith("2.4.") else 1e-5
"""How far apart two ways to a value may end, relative to the largest; the oldest torch rounds once more."""

every_scorer = pytest.mark.parametrize("name", NAMES)
normed_scorer = pytest.mark.parametrize("name", NORMED)


@functools.cache
def built(name: str) -> Scorer:
    """A frozen scorer, not to be changed: the embedded one, or a small one whose batch norms have something to do."""
    if name == EMBEDDED:
        return create_scorer("mdiqa-mobile")
    scorer = tiny(name)
    generator = torch.Generator().manual_seed(1)
    for module in scorer.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(0.3 * torch.randn(shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
            module.bias.data.copy_(0.3 * torch.randn(shape, generator=generator))
    return scorer


@functools.cache
def folded_form(name: str) -> Scorer:
    """The same scorer, folded."""
    return built(name).copy().fold()


def images_for(scorer: Scorer, batch: int = 2) -> Tensor:
    side = max(64, scorer.card.min_side)
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(2))


def values(output: ScoreOutput) -> dict[str, Tensor]:
    overall = {} if output.overall is None else {"score": output.overall}
    return {**overall, **output.dimensions, **{f"map {k}": v for k, v in output.features.items()}, **output.extras}


def run(scorer: Scorer, images: Tensor, request: Request) -> tuple[dict[str, Tensor], Tensor]:
    """What was asked for, and the gradient of a random mixture of it."""
    images = images.clone().requires_grad_()
    found = values(scorer(images, request))
    generator = torch.Generator().manual_seed(3)
    drawn = {name: torch.randn(value.shape, generator=generator) for name, value in found.items()}
    total = sum((value.float() * drawn[name]).mean() for name, value in found.items() if value.requires_grad)
    (gradient,) = torch.autograd.grad(total, images)
    return {name: value.detach() for name, value in found.items()}, gradient


def distance(got: Tensor, want: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((got - want).abs().max() / want.abs().max())


def assert_same(got: Scorer, want: Scorer, request: Request = ALL, tolerance: float = ROUNDING) -> None:
    images = images_for(want)
    (found, gradient), (expected, expected_gradient) = (run(scorer, images, request) for scorer in (got, want))
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert distance(found[name], value) <= tolerance, name
    assert distance(gradient, expected_gradient) <= tolerance


def norms_of(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


# --- a scorer, folded ---


@pytest.mark.parametrize("name", list_scorers())
def test_a_folded_scorer_has_the_same_values_and_gradients(name: str) -> None:
    scorer = built(name)
    folded = folded_form(name)
    assert folded.fold() is folded
    assert_same(folded, scorer)
    assert_same(folded, scorer, FEATURES)


@every_scorer
def test_folding_is_exact_but_for_rounding(name: str) -> None:
    # With float32's rounding a value may fall on the other side of a ReLU's kink, or a score near zero differ.
    scorer = built(name).copy().double()
    folded = built(name).copy().double().fold()
    assert_same(folded, scorer, tolerance=1e-9)
    assert_same(folded, scorer, FEATURES, tolerance=1e-9)


def step(loss: IQALoss, pred: Tensor, target: Tensor) -> None:
    torch.autograd.grad(loss(pred, target), pred)


@normed_scorer
def test_no_batch_norm_is_left_and_less_is_saved_at_the_same_flops(name: str) -> None:
    scorer = built(name)
    folded = folded_form(name)
    assert norms_of(scorer)
    assert not norms_of(folded)
    pred, target = images_for(scorer).requires_grad_(), images_for(scorer)
    plain, cheap = (loss_costs(IQALoss(each, "both"), pred, target) for each in (scorer, folded))
    assert (cheap.forward_flops, cheap.backward_flops) == (plain.forward_flops, plain.backward_flops)
    assert cheap.saved_bytes <= 0.85 * plain.saved_bytes
    fewer, more = (operations(step, IQALoss(each, "both"), pred, target) for each in (folded, scorer))
    assert fewer <= 0.9 * more


@normed_scorer
def test_folding_costs_no_accuracy_in_bfloat16(name: str) -> None:
    scorer, folded = built(name), folded_form(name)
    images = images_for(scorer, batch=4)
    want = scorer(images, FEATURES).features

    def error(each: Scorer) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            found = each(images, FEATURES).features
        return sum(float((found[key].float() - want[key]).norm() / want[key].norm()) for key in want) / len(want)

    assert 0 < error(folded) <= 1.25 * error(scorer) + 1e-3


@pytest.mark.parametrize("name", list_scorers())
def test_copies_of_a_folded_scorer_are_equal_and_move(name: str) -> None:
    folded = folded_form(name)
    images = images_for(folded)
    want = folded(images).score
    for other in (copy.deepcopy(folded), pickle.loads(pickle.dumps(folded))):
        assert other.folded
        torch.testing.assert_close(other(images).score, want)
    other.to("meta")
    assert all(value.device.type == "meta" for value in (*other.parameters(), *other.buffers()))


def test_a_folded_scorer_is_neither_saved_nor_loaded_nor_trained(tmp_path: Path) -> None:
    scorer = tiny("mdiqa-mobile")
    folded = scorer.copy().fold()
    with pytest.raises(RuntimeError, match=r"folded and cannot be unfrozen.*build it again"):
        folded.unfreeze()
    with pytest.raises(ValueError, match=r"is folded.*save it before fold"):
        save(folded, tmp_path / "folded.safetensors")
    with pytest.raises(RuntimeError, match="folded and cannot be loaded into"):
        folded.load_state_dict(scorer.state_dict(), strict=False)
    with pytest.raises(ValueError, match="does not fit"):
        load_strict(scorer, folded.state_dict(), source="a folded scorer's")
    with pytest.raises(RuntimeError, match=r"mdiqa-mobile is trainable.*freeze\(\)"):
        scorer.copy().unfreeze().fold()
    assert folded.freeze().train().training is False


def test_a_loss_folds_what_it_builds_and_leaves_what_it_is_given() -> None:
    assert IQALoss("mdiqa-mobile").scorer.folded
    scorer = tiny("mdiqa-mobile")
    assert IQALoss(scorer).scorer is scorer
    assert not scorer.folded
    assert not create_scorer("mdiqa-mobile").folded


# --- any network ---


class Net(nn.Module):
    """Two convolutions and what follows them, as a test says."""

    def __init__(self, wire: Callable[[Any, Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        self.wire = wire
        self.one, self.two = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, groups=4, bias=False)
        self.norm, self.last = nn.BatchNorm2d(8, affine=False), nn.BatchNorm2d(8)
        for name, part in parts.items():
            setattr(self, name, part)
        for norm in norms_of(self):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.2, 2)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        return self.wire(self, x)


def through_both(net: Any, x: Tensor) -> Tensor:
    return net.last(net.two(F.relu(net.norm(net.one(x)))))


def used_beside(net: Any, x: Tensor) -> Tensor:
    x = net.one(x)
    return net.norm(x) + x


def used_in_place(net: Any, x: Tensor) -> Tensor:
    return net.norm(net.one(x).mul_(2))


def given_out(net: Any, x: Tensor) -> Any:
    x = net.one(x)
    return net.norm(x), x


def one_norm_for_two(net: Any, x: Tensor) -> Tensor:
    return net.norm(net.two(net.norm(net.one(x))))


def two_norms_for_one(net: Any, x: Tensor) -> Tensor:
    return net.norm(net.one(x)) + net.last(net.one(x))


def elsewhere_bare(net: Any, x: Tensor) -> Tensor:
    return net.norm(net.one(x)).mean() + net.one(x)


def twice_the_same(net: Any, x: Tensor) -> Tensor:
    return net.norm(net.one(x)) - net.norm(net.one(x.flip(3)))


@pytest.mark.parametrize(
    ("wire", "folded"),
    [
        (through_both, 2),
        (twice_the_same, 1),
        (used_beside, 0),
        (used_in_place, 0),
        (given_out, 0),
        (one_norm_for_two, 0),
        (two_norms_for_one, 0),
        (elsewhere_bare, 0),
    ],
)
def test_only_certain_pairs_are_folded(wire: Callable[[Any, Tensor], Any], folded: int) -> None:
    torch.manual_seed(0)
    net = Net(wire)
    x = torch.rand(2, 3, 16, 16)
    want = net(x)
    assert fold_batch_norms(net, lambda: net(torch.rand(1, 3, 9, 9))) == folded
    torch.testing.assert_close(net(x), want, rtol=1e-5, atol=1e-5)


def test_what_is_shared_standardized_trained_or_unseen_is_left() -> None:
    timm_layers = pytest.importorskip("timm.layers")
    x = torch.rand(2, 3, 16, 16)

    def refuses(net: Net) -> None:
        want = net(x)
        assert fold_batch_norms(net, lambda: net(x)) == 0
        torch.testing.assert_close(net(x), want)

    def single(net: Any, x: Tensor) -> Tensor:
        return net.norm(net.one(x))

    tied = Net(single, other=nn.Conv2d(3, 8, 3))
    tied.other.weight = tied.one.weight
    refuses(tied)
    refuses(Net(single, one=timm_layers.StdConv2d(3, 8, 3)))
    refuses(Net(single, one=nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))))
    trained = Net(single)
    trained.norm.train()
    assert fold_batch_norms(trained, lambda: trained(x)) == 0
    unseen = Net(single)
    assert fold_batch_norms(unseen, lambda: unseen.one(x)) == 0


def test_a_timm_norm_leaves_its_activation_and_autocast_outside_changes_nothing() -> None:
    timm_layers = pytest.importorskip("timm.layers")
    net = Net(lambda net, x: net.norm(net.one(x)), norm=timm_layers.BatchNormAct2d(8))
    x = torch.rand(2, 3, 16, 16)
    want = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert fold_batch_norms(net, lambda: net(x)) == 1
    assert type(net.norm) is nn.ReLU
    torch.testing.assert_close(net(x), want)
    assert not any(parameter.requires_grad for parameter in net.parameters())


# --- MDIQA's heads, joined ---

SUBSETS = [
    Request(dimensions=("noisiness",)),
    # Two runs of neighbours, one of them scored.
    Request(dimensions=("sharpness",), features=("contrast", "noisiness")),
    Request(dimensions=("brightness", "light")),  # of both branches
]


@pytest.mark.parametrize("request_", SUBSETS, ids=["one", "mixed", "branches"])
def test_joined_heads_serve_subsets_at_the_flops_of_the_loop(request_: Request) -> None:
    # The small one compares the backbone's levels and has no maps of heads to ask for.
    name = "mdiqa" if "light" in (request_.dimensions or ()) or request_.features else "mdiqa-mobile"
    scorer, folded = built(name), folded_form(name)
    assert_same(folded, scorer, request_)
    costs = [flops(each.copy().to("meta"), request_) for each in (scorer, folded)]
    assert costs[0] == costs[1]


def test_joining_the_heads_saves_operations_and_no_bytes_are_added() -> None:
    scorer = built("mdiqa-mobile")
    folded = scorer.copy()
    Scorer.rewrite(folded)
    pred, target = images_for(scorer).requires_grad_(), images_for(scorer)
    loop, one = (IQALoss(each, "both") for each in (folded, folded_form("mdiqa-mobile")))
    assert loss_costs(one, pred, target).saved_bytes <= loss_costs(loop, pred, target).saved_bytes
    assert operations(step, one, pred, target) <= 0.5 * operations(step, loop, pred, target)
    sizes = [sum(p.numel() for p in each.scorer.parameters()) for each in (one, loop)]
    assert sizes[0] <= sizes[1]


def test_joined_heads_are_computed_again_where_memory_is_short() -> None:
    folded = folded_form("mdiqa-mobile")
    heads = folded.branches["technical"].heads  # type: ignore[index, union-attr]
    assert set(stages(heads)) >= {*heads.self_attention, *heads.cross_attention}  # type: ignore[misc]
    images = images_for(folded)
    gradients, kept = [], []
    for loss in (IQALoss(folded), IQALoss(folded, checkpoint=True)):
        pred = images.clone().requires_grad_()
        kept.append(loss_costs(loss, pred).saved_bytes)
        gradients.append(torch.autograd.grad(loss(pred), pred)[0])
    assert distance(*gradients) <= 1e-6
    assert kept[1] < 0.6 * kept[0]


# --- what sizes and weights determine, remembered ---


def test_remembered_values_follow_their_parameters() -> None:
    table = PositionTable(8, 4).requires_grad_(False)
    first = table(3, 5)
    assert table(3, 5) is first
    assert set(table.state_dict()) == {"rows", "columns"}

    with torch.no_grad():
        table.rows.add_(1)
    changed = table(3, 5)
    assert not torch.equal(changed, first)
    table.load_state_dict({"rows": table.rows - 1, "columns": table.columns})
    torch.testing.assert_close(table(3, 5), first)
    assert table.double()(3, 5).dtype == torch.float64
    assert table.to("meta")(3, 5).device.type == "meta"


def test_nothing_is_remembered_of_what_is_trained() -> None:
    table = PositionTable(8, 4)
    assert table(2, 2).requires_grad
    table.requires_grad_(False)
    table(2, 2)
    assert len(table.cache._kept) == 1
    table.requires_grad_(True)
    assert table(2, 2).requires_grad
    assert not table.cache._kept


def test_remembered_values_are_bounded_and_not_copied() -> None:
    table = PositionTable(8, 4).requires_grad_(False)
    for side in range(2, 12):
        table(side, side)
    assert len(table.cache._kept) == table.cache.most
    for other in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert not other.cache._kept
        assert torch.equal(other(3, 4), table(3, 4))


def test_the_first_callers_inference_mode_leaves_no_mark() -> None:
    table = PositionTable(8, 4).requires_grad_(False)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        table(2, 3)
    x = torch.ones(6, 1, 8, requires_grad=True)
    (x * table(2, 3)).sum().backward()
    assert torch.equal(x.grad, table(2, 3))
    assert table(2, 3).dtype == torch.float32


def test_other_parameters_in_place_of_the_own_give_other_values() -> None:
    table = PositionTable(8, 4).requires_grad_(False)
    own = table(2, 2)
    other = {name: value + 1 for name, value in table.state_dict().items()}
    assert not torch.equal(torch.func.functional_call(table, other, (2, 2)), own)
    assert torch.equal(table(2, 2), own)
    assert isinstance(FrozenCache()(0, (), lambda: own), Tensor)


def test_traced_graphs_compute_what_was_remembered() -> None:
    table = PositionTable(8, 4).requires_grad_(False)
    eager = table(3, 5)
    compiled = torch.compile(table, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(3, 5), eager)


@TRACED
@pytest.mark.parametrize("name", ["mdiqa-mobile", "lar-iqa"])
def test_a_folded_scorer_compiles_whole_and_is_exported(name: str) -> None:
    folded = folded_form(name)
    images = images_for(folded)
    want = folded(images).score

    class Score(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scorer = folded

        def forward(self, images: Tensor) -> Tensor:
            return self.scorer(images, Request(score=True)).score

    torch.testing.assert_close(torch.compile(Score(), fullgraph=True, backend="eager")(images), want)
    exported = torch.export.export(Score().eval(), (images,), strict=False)
    torch.testing.assert_close(exported.module()(images), want)


# --- nothing else is computed, nothing is copied ---


class Devices(TorchDispatchMode):
    """Notes operations that touch memory of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(x, Tensor) and x.device.type == "cpu" for x in tree_leaves((args, kwargs, out))):
            self.found.append(str(func))
        return out


@pytest.mark.parametrize("folded", [False, True], ids=["as built", "folded"])
@pytest.mark.parametrize("name", list_scorers())
def test_no_step_copies_from_or_to_the_host(name: str, folded: bool) -> None:
    scorer = (folded_form if folded else built)(name).copy().to("meta")
    images = images_for(scorer).to("meta").requires_grad_()
    scorer(images)
    with Devices() as devices:
        output = scorer(images)
        torch.autograd.grad(output.score.sum(), images)
    assert not devices.found


def flops(scorer: Scorer, request: Request) -> int:
    return total_flops(scorer, images_for(scorer).to("meta"), request)[0]


def single_requests(scorer: Scorer) -> Iterator[Request]:
    """The first and the last of what a scorer tells, one at a time."""
    for name in {*scorer.dimension_names[:1], *scorer.dimension_names[-1:]}:
        yield Request(dimensions=(name,))
    for name in {*scorer.feature_names[:1], *scorer.feature_names[-1:]}:
        yield Request(features=(name,))


@pytest.mark.parametrize("name", list_scorers())
def test_a_part_costs_less_than_the_whole_and_nothing_costs_nothing(name: str) -> None:
    scorer = built(name).copy().to("meta")
    assert flops(scorer, Request()) == 0
    whole = flops(scorer, ALL)
    costs = [flops(scorer, request) for request in single_requests(scorer)]
    assert all(0 < cost < whole for cost in costs)


@pytest.mark.parametrize(("name", "order"), [("pmt-iqa", 4), ("lar-iqa", 4), ("sr-iqa", 4)])
def test_an_earlier_feature_costs_less(name: str, order: int) -> None:
    scorer = built(name).copy().to("meta")
    names = scorer.feature_names[:order]
    costs = [flops(scorer, Request(features=(each,))) for each in names]
    assert costs == sorted(set(costs))


@pytest.mark.parametrize("folded", [False, True], ids=["as built", "folded"])
def test_one_dimension_costs_what_a_network_with_one_head_costs(folded: bool) -> None:
    from dataclasses import replace

    from iqaloss.scorers.mdiqa import MDIQA
    from iqaloss.scorers.registry import entry

    item = entry("mdiqa-mobile")
    branch = replace(item.tiny.branches[0], dimensions=("sharpness",))
    fusion = replace(item.tiny.fusion, statistics=0, appearance=False)
    alone = MDIQA(item.card, replace(item.tiny, branches=(branch,), fusion=fusion)).freeze()
    among = MDIQA(item.card, replace(item.tiny, fusion=fusion)).freeze()
    request = Request(dimensions=("sharpness",))
    costs = [flops((each.fold() if folded else each).to("meta"), request) for each in (alone, among)]
    assert costs[0] == costs[1]


def test_a_class_token_is_that_of_the_whole_transformer_for_less() -> None:
    from iqaloss.scorers.layers.vit import VitConfig, class_token, create_vit

    torch.manual_seed(0)
    vit = create_vit(VitConfig(width=48, depth=3, heads=4, patch=8, side=32)).eval()
    for parameter in vit.parameters():
        nn.init.normal_(parameter, std=0.2)
    images = torch.rand(2, 3, 32, 32)
    whole, want = total_flops(vit.forward_features, images)
    less, got = total_flops(class_token, vit, images)
    torch.testing.assert_close(got, want[:, 0])
    assert less < 0.8 * whole


def test_clips_last_block_is_run_for_its_class_token() -> None:
    from iqaloss.scorers.sr_iqa.clip import embed_windows

    visual = tiny("sr-iqa").clip.visual  # type: ignore[union-attr]
    blocks = len(visual.transformer.resblocks)
    windows = torch.rand(2, 3, 64, 64)
    less, (got, _) = total_flops(lambda: embed_windows(visual, windows, [], pooled=True))
    whole, (want, taken) = total_flops(lambda: embed_windows(visual, windows, [blocks], pooled=True))
    torch.testing.assert_close(got, want)
    assert taken[0].shape[1] == 4
    assert less < whole
