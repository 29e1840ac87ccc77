"""PMT-IQA's ablations with hidden widths matched: as many parameters learn as in the whole model (section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from iqaloss.scorers.layers.pyramid import create_network
from iqaloss.scorers.pmt_iqa.config import PMTIQAConfig
from iqaloss.scorers.unbuilt import without_memory

Hidden = tuple[int, int, int]
_SCALES = 4


def stage_channels(trunk: str) -> list[int]:
    """Returns the channels of a backbone's last four stages; no weight is made for it.

    Example:
        >>> stage_channels("resnet10t")
        [64, 128, 256, 512]
    """
    with without_memory():
        network = create_network(trunk, num_classes=0)
    return [info["num_chs"] for info in network.feature_info][-_SCALES:]


def matched_hidden(config: PMTIQAConfig, channels: Sequence[int], scales: int = _SCALES) -> Hidden:
    """Returns the score head's hidden widths with which a variant without levels has the whole model's parameters.

    The paper matches them and names no widths: here they keep the proportions of ``config.score_hidden``.

    Args:
        config: The whole model, in the paper's form.
        channels: Channels of the backbone's stages.
        scales: How many of the scales are left, from the last one on.

    Example:
        >>> matched_hidden(PMTIQAConfig(), (256, 512, 1024, 2048), scales=1)
        (333, 166, 83)
    """
    sizes = [(count + 1) * config.width for count in channels]
    whole = sum(sizes) + _head(_SCALES * config.width, config.score_hidden, 1)
    whole += _head(_SCALES * config.width, config.level_hidden, config.levels)
    left = whole - sum(sizes[_SCALES - scales :])
    first, second, third = config.score_hidden

    def hidden(width: int) -> Hidden:
        return width, max(1, round(width * second / first)), max(1, round(width * third / first))

    def off(width: int) -> int:
        return abs(_head(scales * config.width, hidden(width), 1) - left)

    width = first
    while off(width + 1) < off(width):
        width += 1
    return hidden(width)


def _head(inputs: int, hidden: Sequence[int], outputs: int) -> int:
    """Parameters of a head that read these inputs: what is always zero teaches nothing."""
    return sum((before + 1) * after for before, after in pairwise((inputs, *hidden, outputs)))
