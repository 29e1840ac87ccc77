"""Periodic patterns are seen where they are, and noise and blur are not taken for them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iqaloss.evaluation.patterns import LINES, line_power, pattern_rise, total_variation
from iqaloss.evaluation.probes.distortions import gaussian_blur


def strongest(images: torch.Tensor) -> torch.Tensor:
    """The power of the strongest pattern of each image."""
    return line_power(images).amax(dim=1)


def pictures(count: int = 6, side: int = 128) -> Tensor:
    """Random pictures whose amplitude falls with the frequency, as that of photographs does."""
    frequency = torch.fft.fftfreq(side)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt().clamp_min(1 / side)
    noise = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    found = torch.fft.ifft2(torch.fft.fft2(noise) / radius**1.2).real
    return (0.5 + 0.15 * found / found.std(dim=(1, 2, 3), keepdim=True)).clamp(0, 1)


def pattern(side: int, period_y: int, period_x: int) -> Tensor:
    """Stripes of +-1, checkerboards where both periods are given."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    rows = torch.ones_like(y) if period_y == 0 else 1 - 2 * (y % period_y >= period_y / 2).long()
    columns = torch.ones_like(x) if period_x == 0 else 1 - 2 * (x % period_x >= period_x / 2).long()
    return (rows * columns).float()


@pytest.mark.parametrize("periods", [(2, 2), (2, 0), (0, 2), (4, 0), (0, 4), (4, 4), (2, 4)])
def test_a_faint_pattern_rises_by_many_decibels(periods: tuple[int, int]) -> None:
    clean = pictures()
    marked = clean + 0.02 * pattern(clean.shape[-1], *periods)
    assert pattern_rise(marked, clean).mean() > 10
    assert (strongest(marked) - strongest(clean)).mean() > 10
    worst = (line_power(marked) - line_power(clean)).mean(dim=0).argmax()
    assert tuple(abs(period) for period in LINES[int(worst)]) == periods


def test_noise_and_blur_are_no_patterns() -> None:
    clean = pictures()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    for spread in (0.01, 0.05, 0.1):
        assert pattern_rise(clean + spread * noise, clean).mean() < 4
    for sigma in (0.7, 1.5):
        assert pattern_rise(torch.stack([gaussian_blur(image, sigma) for image in clean]), clean).mean() < 4


def test_what_nobody_sees_counts_as_nothing() -> None:
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert strongest(flat + 1e-5 * pattern(64, 2, 2)).item() < 3


def test_images_of_a_batch_do_not_meet() -> None:
    clean = pictures(2)
    clean[1] += 0.05 * pattern(128, 2, 2)
    torch.testing.assert_close(strongest(clean)[:1], strongest(clean[:1]))


@pytest.mark.parametrize("size", [(32, 32), (50, 70), (65, 200)])
def test_sizes_of_all_kinds_are_measured(size: tuple[int, int]) -> None:
    assert line_power(torch.rand(2, 3, *size)).shape == (2, len(LINES))


def test_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        strongest(torch.rand(1, 3, 31, 64))


def test_total_variation_adds_both_directions() -> None:
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(2, 3, 8, 8) + 2 * torch.arange(8.0).view(1, 1, 8, 1)
    assert total_variation(ramp).tolist() == [3.0, 3.0]
