"""The ablations' protocol on synthetic features: it runs for every variant, and variants differ in one thing only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss.scorers.base import Request
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.lar_iqa.config import TINY as TINY_LAR
from iqaloss.scorers.pmt_iqa.config import TINY as TINY_PMT
from iqaloss.training.state import TrainState
from studies.ablations.__main__ import choose_training, run_study
from studies.ablations.features import Source, features
from studies.ablations.protocols import LAR_STUDY, PMT_STUDY, PooledPMTIQA, Study
from studies.ablations.report import Difference, Result, difference, markdown
from studies.ablations.training import build, orders, train

PMT = replace(PMT_STUDY, config=TINY_PMT, epochs=10, batch=40, rates=(1e-2,), choice_seeds=(7,))
LAR = replace(LAR_STUDY, config=TINY_LAR, epochs=10, batch=16, rates=(3e-3, 1e-2))
WIDTHS = {"pmt-iqa": {"pooled": 64 + 128 + 256 + 512}, "lar-iqa": {"authentic": 32, "synthetic": 32}}


def synthetic(study: Study, count: int = 120) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = {name: torch.randn(count, width, generator=generator) for name, width in WIDTHS[study.name].items()}
    told = sum(values[:, -8:].sum(1) for values in inputs.values())
    return inputs, torch.sigmoid(torch.as_tensor(told) / 3)


@pytest.mark.parametrize("study", [PMT, LAR], ids=lambda study: study.name)
def test_every_variant_learns_and_repeats_to_the_bit(study: Study) -> None:
    inputs, scores = synthetic(study)
    training, validation = torch.arange(120), torch.arange(100)
    results, protocol = run_study(study, inputs, scores, training, validation, [4], lambda _: None)
    assert [(run.variant, run.seed) for run in results] == [(v.name, 4) for v in study.variants]
    assert all(run.srcc > 0.7 for run in results)
    assert protocol["rate"] in study.rates
    again = train(study, study.variants[0], inputs, scores, training, validation, rate=protocol["rate"], seed=4)
    assert np.array_equal(again, results[0].predicted)
    everything = {"studies": {study.name: protocol}, "command": "run", "training": 120, "validation": 100, "side": 8}
    page = markdown([study], results, {**everything, "split_seed": 0}, "Found.")
    assert all(f"| {variant.label} | " in page for variant in study.variants)


def test_pmt_variants_share_start_and_differ_in_scales_and_weights_only() -> None:
    tasks = {variant.name: build(PMT, variant, 1e-3, seed=5) for variant in PMT.variants}
    full = tasks["progressive"].state_dict()
    for name, task in tasks.items():
        for key, value in task.state_dict().items():
            silenced = name == "resnet_only" and key.startswith(
                ("scorer.scales.0", "scorer.scales.1", "scorer.scales.2")
            )
            assert torch.equal(value, torch.zeros_like(value) if silenced else full[key]), (name, key)
        learning = {key for key, value in task.named_parameters() if value.requires_grad}
        still = ["scorer.heads.classify"] if name in ("resnet_only", "multi_scale_only") else []
        still += [f"scorer.scales.{scale}" for scale in range(3)] if name == "resnet_only" else []
        assert learning == {key for key, _ in task.named_parameters() if not key.startswith(tuple(still))}
    weights = {name: [task.weights(TrainState(epoch, 9, 1)) for epoch in (0, 8)] for name, task in tasks.items()}  # type: ignore[operator]
    assert weights["resnet_only"] == weights["multi_scale_only"] == [(1.0, 0.0), (1.0, 0.0)]
    assert weights["fixed_weights"] == [(0.5, 0.5), (0.5, 0.5)]
    assert weights["progressive"][0] == (0.0, 1.0)
    assert weights["progressive"][1][0] > 0.7


def test_kan_and_mlp_differ_in_kind_not_in_size_or_protocol() -> None:
    sizes = {}
    for variant in LAR_STUDY.variants:
        task = build(LAR_STUDY, variant, 1e-3, seed=5)
        sizes[variant.name] = sum(parameter.numel() for parameter in task.parameters() if parameter.requires_grad)
        assert task.recipe.losses == {"mse": 1.0, "plcc": 1.0}
        assert task.scorer.config.head == variant.name
    assert sizes["kan"] == pytest.approx(sizes["mlp"], rel=0.01)


def test_the_order_of_images_is_the_seeds_alone() -> None:
    first, second = list(orders(50, 2, 1)), list(orders(50, 2, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], next(orders(50, 1, 2)))


def test_training_on_stored_means_is_training_on_maps() -> None:
    torch.manual_seed(0)
    whole = create_tiny("pmt-iqa").eval()
    pooled = PooledPMTIQA(TINY_PMT).eval()
    pooled.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("trunk.")})
    images, request = torch.rand(2, 3, 64, 64), Request(score=True, extras=("level_logits",))
    with torch.no_grad():
        maps = list(whole.levels(whole.normalize(images)))  # type: ignore[operator]
        means = torch.cat([level.mean(dim=(2, 3), keepdim=True) for level in maps], dim=1)
        expected, got = whole(images, request), pooled.compute(means, request)
    torch.testing.assert_close(got.score, expected.score)
    torch.testing.assert_close(got.extras["level_logits"], expected.extras["level_logits"])


def test_features_are_computed_once(tmp_path: Path) -> None:
    from PIL import Image

    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        Image.new("RGB", (40, 32), (50 * index, 0, 0)).save(path)
    calls: list[int] = []

    def load(_: Path) -> Callable[[Tensor], Tensor]:
        def run(images: Tensor) -> Tensor:
            calls.append(len(images))
            return images.mean(dim=(2, 3))

        return run

    source = Source("red", "none", "crop", 3, load)
    first = features(source, paths, [4, 1], tmp_path, tmp_path / "cache", 16, lambda _: None)
    second = features(source, paths, [1, 3], tmp_path, tmp_path / "cache", 16, lambda _: None)
    assert calls == [2, 1]
    np.testing.assert_allclose(first[:, 0], [200 / 255, 50 / 255], rtol=1e-5)
    np.testing.assert_allclose(second[:, 0], [50 / 255, 150 / 255], rtol=1e-5)


def test_a_difference_counts_only_beyond_chance() -> None:
    human = np.linspace(0, 1, 200)
    noise = np.random.default_rng(0).normal(size=(4, 200))
    good, bad = (
        [Result("s", name, seed, human + scale * noise[seed], human) for seed in (0, 1)]
        for name, scale in (("good", 0.1), ("bad", 0.8))
    )
    same = [Result("s", "same", seed, human + 0.1 * noise[seed + 2], human) for seed in (0, 1)]
    assert difference(good, bad, 200).verdict == "better"
    assert difference(bad, good, 200).verdict == "worse"
    assert difference(good, same, 200).verdict == "no difference beyond chance"
    assert Difference((0.1, -0.1), 0.01, 0.05).verdict == "no difference beyond chance"


def test_a_smaller_draw_begins_a_larger_one() -> None:
    rows = list(range(100, 200))
    assert choose_training(rows, 50)[:20] == choose_training(rows, 20)
    assert set(choose_training(rows, 100)) == set(rows)
    with pytest.raises(ValueError, match="must lie in"):
        choose_training(rows, 101)
