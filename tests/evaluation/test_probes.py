"""Probes say what a scorer does, for scorers of which we know it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from iqaloss.data.images import to_tensor
from iqaloss.evaluation.probes import gradients, pictures, plots, responses, upscales
from iqaloss.evaluation.probes.distortions import LUMA, luminance
from iqaloss.evaluation.probes.report import probe_scorer
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard

NAMES = ("contrast", "brightness", "sharpness")


class Toy(Scorer):
    """Measures mean luminance, its spread, and how much neighbours differ; or the luminance alone."""

    def __init__(self, dimensions: tuple[str, ...] = NAMES) -> None:
        card = ScorerCard("toy", "a toy", "no paper", "Apache-2.0", dimensions=dimensions, min_side=8)
        super().__init__(card, None)

    feature_names = ()

    def compute(self, images: Tensor, request: Request, **conditions: Any) -> ScoreOutput:
        light = torch.cat([luminance(image) for image in images])
        found = {
            "brightness": light.mean(dim=(1, 2)),
            "contrast": light.std(dim=(1, 2)),
            "sharpness": light.diff(dim=1).abs().mean(dim=(1, 2)),
        }
        return ScoreOutput({name: found[name] for name in request.dimensions or ()}, overall=found["brightness"])


def photographs(*sizes: tuple[int, int]) -> list[Tensor]:
    """Smooth pictures with a little texture, of the given sizes."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for height, width in sizes:
        low = torch.rand(1, 3, 6, 6, generator=generator)
        smooth = torch.nn.functional.interpolate(low, (height, width), mode="bicubic", align_corners=False)[0]
        made.append((0.1 + 0.8 * smooth + 0.05 * torch.rand(3, height, width, generator=generator)).clamp(0, 1))
    return made


def test_a_scorer_of_mean_luminance_answers_to_brightness_alone() -> None:
    found = responses.responses(Toy(("brightness",)), photographs((64, 64)))
    assert found.dimensions == ["brightness"]
    falls = dict(zip(found.properties, (row[0] for row in found.matrix)))
    assert falls["brightness"] > 10 * max(abs(fall) for name, fall in falls.items() if name != "brightness")
    assert found.tau["brightness"] == 1.0
    assert found.selectivity == {}  # nothing beside it could move
    assert found.degradations["over-exposure"].overall_tau == -1.0


def test_matrix_has_a_column_for_each_dimension_in_the_scorers_order() -> None:
    found = responses.responses(Toy(), photographs((64, 48), (40, 80)), only=responses.PLAIN)
    assert found.dimensions == list(NAMES)
    assert found.properties == ["brightness", "colorfulness", "contrast", "noisiness", "sharpness"]
    assert set(found.selectivity) == set(NAMES)  # noise and colour have no dimension of their own here
    for name in found.selectivity:
        assert found.matrix[found.properties.index(name)][NAMES.index(name)] > 0
    assert found.tau["sharpness"] > 0.9
    assert found.pictures == 2


def test_a_scorer_without_dimensions_is_probed_by_its_score() -> None:
    found = responses.responses(Toy(()), photographs((48, 48)))
    assert found.dimensions == [responses.SCORE]
    for item in found.degradations.values():
        assert item.fall == {"score": item.overall_fall}
        assert item.tau == item.overall_tau


def test_tau_counts_falling_steps() -> None:
    stats = pytest.importorskip("scipy.stats")
    falling = [5.0, 4.0, 4.5, 1.0]
    assert responses.falling_tau(falling) == pytest.approx(stats.kendalltau([0, -1, -2, -3], falling)[0])
    assert responses.falling_tau([1.0, 2.0, 3.0]) == -1.0


def test_pictures_are_told_apart_by_their_light() -> None:
    dark, bright = torch.full((3, 8, 8), 0.2), torch.ones(3, 8, 8)
    rows = responses.by_luminance({"under-exposure": [0.5, 1.0]}, [dark, bright])
    assert [(row["pictures"], row["under-exposure"]) for row in rows] == [(1, 0.5), (1, 1.0)]


def test_a_scorer_of_detail_puts_originals_above_their_upscales() -> None:
    found = upscales.upscale_order(Toy(), photographs((66, 50), (48, 48)))
    assert found.sharpness_original_best == found.sharpness_in_order == 1.0
    assert upscales.upscale_order(Toy(("brightness",)), photographs((48, 48))).sharpness_in_order is None


def test_gradient_of_mean_luminance_is_flat() -> None:
    picture = photographs((64, 96))[0]
    slope = gradients.input_gradient(Toy(), picture)
    wanted = torch.tensor(LUMA)[:, None, None].expand_as(slope) / (64 * 96)
    torch.testing.assert_close(slope, wanted)
    found = gradients.gradient_figures(Toy(), [picture, *photographs((40, 130))])
    assert found.norm == pytest.approx(float(wanted.norm()) * 0.5 * (1 + (64 * 96 / (40 * 130)) ** 0.5), rel=1e-4)
    assert found.spectrum.shape == (32, 96)
    assert float(found.spectrum[0, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
def test_white_noise_has_no_stride_peaks(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    spectra = [gradients.power_spectrum(torch.randn(3, *size, generator=generator)) for _ in range(64)]
    power = torch.stack(spectra).mean(dim=0)
    for stride, peak in gradients.stride_peaks(power).items():
        assert peak == pytest.approx(1.0, abs=0.2), stride
    assert gradients.stride_share(power) == pytest.approx(63 / power.numel(), rel=0.2)
    assert float(gradients.radial_profile(power).std() / power.mean()) < 0.1


@pytest.mark.parametrize("size", [(192, 192), (128, 160)])
def test_a_stride_pattern_in_a_gradient_is_found(size: tuple[int, int]) -> None:
    noise = torch.randn(3, *size, generator=torch.Generator().manual_seed(0))
    noise[:, ::8, ::8] += 2.0
    power = gradients.power_spectrum(noise)
    assert gradients.stride_peaks(power)[8] > 10.0
    assert gradients.stride_share(power) > 0.02


def test_spectra_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="32 divides"):
        gradients.stride_peaks(torch.ones(40, 64))
    with pytest.raises(ValueError, match="at least 32"):
        gradients.gradient_figures(Toy(), photographs((20, 64)))


def test_many_versions_are_scored_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = photographs(*[(40, 40)] * 5)
    whole = pictures.score_versions(Toy(), shown)
    monkeypatch.setattr(pictures, "PIXELS", 2 * 40 * 40)
    for kind, few in zip(whole, pictures.score_versions(Toy(), shown)):
        torch.testing.assert_close(few, kind)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures of 80x72 pixels and one that is smaller."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("clean")
    for number, image in enumerate(photographs((80, 72), (80, 72), (40, 40))):
        array = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(array).save(folder / f"{number}.png")
    return folder


def test_pictures_are_read_in_order_and_small_ones_left_out(clean: Path) -> None:
    from PIL import Image

    cut = pictures.read_pictures(clean, side=64)
    assert [tuple(image.shape) for image in cut] == [(3, 64, 64)] * 2
    whole = pictures.read_pictures(clean, side=None)
    assert torch.equal(whole[0], to_tensor(Image.open(clean / "0.png")))
    assert torch.equal(cut[0], whole[0][:, 8:72, 4:68])
    assert len(whole) == 3
    assert len(pictures.read_pictures(clean, 1, side=None)) == 1
    with pytest.raises(FileNotFoundError, match="at least 256"):
        pictures.read_pictures(clean)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        pictures.read_pictures(clean / "none")


def test_report_is_plain_json_and_readable_text() -> None:
    told: list[tuple[str, int, int]] = []
    found = probe_scorer(Toy(), photographs((48, 64)), lambda *words: told.append(words))
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(plain) == {"scorer", "responses", "upscaling", "gradients"}
    assert set(plain["responses"]) >= {"properties", "dimensions", "matrix", "selectivity", "tau", "degradations"}
    assert "spectrum" not in plain["gradients"]
    text = found.to_text()
    assert all(word in text for word in (*NAMES, "gaussian-noise", "selectivity", "upscaling", "gradient"))
    last = {what: (done, total) for what, done, total in told}
    assert set(last) == {"upscales", "degradations", "gradients"}
    assert all(done == total for done, total in last.values())


@pytest.mark.parametrize("dimensions", [NAMES, ()])
def test_pictures_of_the_figures_are_drawn(dimensions: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = probe_scorer(Toy(dimensions), photographs((48, 64)))
    for path in (
        plots.draw_responses(found.responses, tmp_path / "responses.png", found.scorer),
        plots.draw_spectrum(found.gradients, tmp_path / "gradients.png"),
    ):
        assert path.stat().st_size > 1000
