"""The Markdown page of the measured costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from benchmarks.loss_cost import bars
from benchmarks.loss_cost.rows import Row

LIMITS = {
    "iqaloss:mdiqa-mobile": "backbone:mdiqa-mobile",
    "network:mdiqa-mobile": "backbone:mdiqa-mobile",
    "iqaloss:topiq_nr": "backbone:topiq",
    "pyiqa:topiq_nr": "backbone:topiq",
    "iqaloss:topiq_fr": "backbone:topiq",
    "pyiqa:topiq_fr": "backbone:topiq",
}
"""Name to the bare frozen backbone that it is held against: one forward and one input-only backward pass of it."""

STEP = "step"

LEGEND = """\
- A step is forward and backward pass down to the prediction's gradient; time is the median over rounds in which every
  contestant takes its turn, in one process, on one input, with one number of threads; a step below half a second
  runs twice, and the second time counts. ± is how far the medians of two runs lie apart.
- Peak: the most memory that torch's allocator holds at once beyond the built loss and its input, over two steps in a
  row, so that gradient buffers that a peer leaves on its weights are counted (as in training, nobody frees them).
  Scratch that a library takes elsewhere is not seen.
- FLOPs are those of torch's `FlopCounterMode`: two for each multiply-accumulate of convolutions, matrix products and
  attention. Saved: distinct tensors kept for the backward pass, weights and images left out.
- x limit: time over that of the bare frozen backbone of the same network, forward and input-only backward of the
  prediction alone.
- `shipped`: as the package comes, called as its documentation says. `iqaloss:topiq_*` is that very network with the
  same weights through `iqaloss.integrations.pyiqa.wrap`; `fr-encoded` had `loss.encode(target)` called before.
  `backbone:` is the frozen trunk alone, in mode `nr` as timm builds it, in mode `tuned` with batch norms folded and
  channels last, as the loss runs it; `network:` is the whole frozen scorer, run so, without the loss around it.
- Weights that cannot be had are random: the costs do not depend on them."""


def settings(rows: Sequence[Row]) -> list[tuple[str, str, bool]]:
    """Returns the device, precision and compilation of every group of rows, in order."""
    return list(dict.fromkeys((row.device, row.precision, row.compiled) for row in rows))


def markdown(rows: Sequence[Row], left_out: Mapping[str, str], command: str) -> str:
    """Returns the page.

    Args:
        rows: Everything measured.
        left_out: What was not measured, and why.
        command: The command that measures it.
    """
    lines = ["# What a loss costs", "", f"    {command}", "", f"torch {torch.__version__}.", "", LEGEND, ""]
    for device, precision, compiled in settings(rows):
        group = [row for row in rows if (row.device, row.precision, row.compiled) == (device, precision, compiled)]
        how = f"{device}, {precision}{', torch.compile' if compiled else ''}"
        lines += [f"## {how}", "", "### Bars", "", *bars.table(group), "", *_share(group)]
        for side, batch in sorted({(row.side, row.batch) for row in group}):
            at = [row for row in group if (row.side, row.batch) == (side, batch)]
            lines += [f"### {side}x{side}, batch {batch}", "", *costs(at), "", *_missing(group, at)]
    if not any(row.device.startswith("cuda") for row in rows):
        lines += ["No GPU was at hand: nothing here was measured on one.", ""]
    if left_out:
        lines += ["## Left out", "", *(f"- {what}: {reason}" for what, reason in left_out.items()), ""]
    return "\n".join(lines)


def _missing(group: Sequence[Row], at: Sequence[Row]) -> list[str]:
    """Returns a paragraph that names what was measured with smaller batches of this side but not with this one."""
    side, batch = at[0].side, at[0].batch
    smaller = {f"{row.name} ({row.mode})" for row in group if row.side == side and row.batch < batch}
    names = sorted(smaller - {f"{row.name} ({row.mode})" for row in at})
    return [f"Not measured at this batch, for time or memory: {', '.join(names)}.", ""] if names else []


def costs(rows: Sequence[Row]) -> list[str]:
    """Returns a Markdown table of rows of one size."""
    limits = {row.name: row.seconds for row in rows if row.name in LIMITS.values() and row.mode == "nr"}
    head = ["contestant", "mode", "ms", "±", "peak MiB", "forward GF", "backward GF", "saved MiB", "x limit"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in rows:
        limit = limits.get(LIMITS.get(row.name, ""))
        cells = [
            row.name,
            row.mode,
            number(row.seconds * 1e3),
            f"{row.spread:.0%}",
            number(row.peak_bytes / 2**20),
            number(row.forward_flops / 1e9),
            number(row.backward_flops / 1e9),
            number(row.saved_bytes / 2**20),
            "" if limit is None else f"{row.seconds / limit:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def number(value: float) -> str:
    """Writes a number with three digits that say something.

    Example:
        >>> number(1234.5), number(12.34), number(0.01234), number(0.0)
        ('1234', '12.3', '0.0123', '0')
    """
    return f"{value:.0f}" if value >= 1000 or value == 0 else f"{value:.3g}"


def _share(rows: Sequence[Row]) -> list[str]:
    """Returns a section on how much each loss adds to a training step, empty where no step was measured."""
    steps = [row for row in rows if row.mode == STEP]
    if not steps:
        return []
    head = [f"{row.name.split(':')[1]}, batch {row.batch}" for row in steps]
    took = " | ".join(["a step takes", "", *(f"{number(row.seconds)} s" for row in steps)])
    lines = [
        "### What a loss adds to a training step (64 to 256, L1, Adam), in percent of the step without it",
        "",
        "| " + " | ".join(["loss", "mode", *head]) + " |",
        "|---|---|" + "---:|" * len(head),
        f"| {took} |",
    ]
    for name, mode in dict.fromkeys((row.name, row.mode) for row in rows if row.mode != STEP):
        if name.split(":")[0] in ("backbone", "network"):
            continue
        cells = []
        for step in steps:
            same = [row for row in rows if (row.name, row.mode, row.side, row.batch) == (name, mode, 256, step.batch)]
            cells.append(f"{100 * same[0].seconds / step.seconds:.2g}" if same else "")
        lines.append("| " + " | ".join([name, mode, *cells]) + " |")
    return [*lines, ""]
