"""Two claims of the literature on real human scores: PMT-IQA's ablations, and LAR-IQA's KAN head against its MLP head.

    python -m studies.ablations --data BIQ2021 --weights WEIGHTS --cache CACHE --out studies/results

WEIGHTS holds ``resnet50_caffe.fp16.safetensors`` and ``mobilenetv2_100.fp16.safetensors``. Backbones are frozen with
these ImageNet weights; what they make of the images is computed once and kept in CACHE. Only what stands behind them
is trained, under one protocol for all variants of a study. Models learn from rows of BIQ2021's training table and are
judged on its published validation rows; the official test table is never opened. Writes ``ablations.md`` with the
tables (its finding is taken from ``ablations_finding.md`` beside it, if there is one), ``ablations.csv`` with every
run, ``ablations.json`` with the protocol and ``ablations_split.txt`` with the names of the training images.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from iqaloss.evaluation.agreement.correlations import srcc
from scorer_recipes.mdiqa_mobile.data import names_of, read_rated, split_rows
from studies.ablations.features import AUTHENTIC, PMT, SYNTHETIC, Source, features
from studies.ablations.protocols import LAR_STUDY, PMT_STUDY, Study
from studies.ablations.report import Result, markdown
from studies.ablations.training import train

STUDIES: tuple[tuple[Study, Mapping[str, Source]], ...] = (
    (PMT_STUDY, {"pooled": PMT}),
    (LAR_STUDY, {"authentic": AUTHENTIC, "synthetic": SYNTHETIC}),
)
SPLIT_SEED = 0
CHOICE_SHARE = 0.2

Report = Callable[[str], None]


def choose_training(rows: Sequence[int], count: int, seed: int = SPLIT_SEED) -> list[int]:
    """Draws the training images; a smaller draw is the beginning of a larger one.

    Raises:
        ValueError: If there are fewer rows than asked for.
    """
    if not 10 <= count <= len(rows):
        raise ValueError(f"--train must lie in 10..{len(rows)}, got {count}")
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    return [rows[place] for place in order[:count]]


def choose_rate(
    study: Study, inputs: Mapping[str, Tensor], scores: Tensor, training: Tensor, report: Report
) -> tuple[float, dict[str, dict[str, float]]]:
    """Returns the learning rate for all variants of a study, and the mean SRCC of each variant with each rate.

    A fifth of the training images is held out; the rate with the best SRCC there, on average over the variants, wins.
    The validation images have no part in it.
    """
    held = max(2, round(CHOICE_SHARE * len(training)))
    learnt, judged = training[:-held], training[-held:]
    found: dict[str, dict[str, float]] = {}
    for rate in study.rates:
        tried = found.setdefault(f"{rate:g}", {})
        for variant in study.variants:
            runs = [
                train(study, variant, inputs, scores, learnt, judged, rate=rate, seed=seed)
                for seed in study.choice_seeds
            ]
            tried[variant.name] = round(mean(srcc(run, scores[judged].numpy()) for run in runs), 4)
            report(f"{study.name}, choice of the rate: {variant.name} at {rate:g}: SRCC {tried[variant.name]:.4f}")
    return max(study.rates, key=lambda rate: mean(found[f"{rate:g}"].values())), found


def run_study(
    study: Study,
    inputs: Mapping[str, Tensor],
    scores: Tensor,
    training: Tensor,
    validation: Tensor,
    seeds: Sequence[int],
    report: Report,
    rate: float | None = None,
) -> tuple[list[Result], dict[str, Any]]:
    """Chooses the rate, then trains every variant from every seed.

    Args:
        study: The protocol and its variants.
        inputs: Stored features ``[N, C]`` by name.
        scores: Human scores ``[N]``.
        training: Indices of the training images.
        validation: Indices of the validation images.
        seeds: Seeds of weights, order and dropout.
        report: Takes lines on the progress.
        rate: A learning rate that is given, not chosen.

    Returns:
        The results, and the protocol with the rates that were tried.
    """
    tried: dict[str, dict[str, float]] = {}
    if rate is None:
        rate, tried = choose_rate(study, inputs, scores, training, report)
    human = scores[validation].double().numpy()
    results = []
    for seed in seeds:
        for variant in study.variants:
            predicted = train(study, variant, inputs, scores, training, validation, rate=rate, seed=seed)
            result = Result(study.name, variant.name, seed, predicted, human)
            results.append(result)
            report(f"{study.name}: {variant.name}, seed {seed}: SRCC {result.srcc:.4f} PLCC {result.plcc:.4f}")
    protocol = {"recipe": study.recipe, "epochs": study.epochs, "batch": study.batch, "spread": study.spread}
    return results, {
        **protocol,
        "rates": tried,
        "choice_seeds": list(study.choice_seeds),
        "rate": rate,
        "seeds": list(seeds),
    }


def write(folder: Path, results: Sequence[Result], protocol: Mapping[str, Any], names: Sequence[str]) -> None:
    """Writes the raw results, the protocol, the training images' names and the page."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ablations.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("study", "variant", "seed", "srcc", "plcc"))
        for run in results:
            writer.writerow((run.study, run.variant, run.seed, f"{run.srcc:.6f}", f"{run.plcc:.6f}"))
    (folder / "ablations.json").write_text(json.dumps(protocol, indent=2) + "\n", encoding="utf-8")
    (folder / "ablations_split.txt").write_text("\n".join(sorted(names)) + "\n", encoding="utf-8")
    words = folder / "ablations_finding.md"
    finding = words.read_text(encoding="utf-8") if words.is_file() else ""
    studies = [study for study, _ in STUDIES if study.name in protocol["studies"]]
    (folder / "ablations.md").write_text(markdown(studies, results, protocol, finding), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the studies and writes their results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="BIQ2021 as published")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the two ImageNet weight files")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the features (0.4 GB)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--train", type=int, default=2500, help="training images (default: 2500)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--side", type=int, default=224, help="side that the backbones see (default: 224)")
    names = [study.name for study, _ in STUDIES]
    parser.add_argument("--study", choices=names, nargs="+", default=names, help="studies to run (default: all)")
    parser.add_argument("--rate", type=float, help="learning rate of all variants, instead of choosing one")
    parser.add_argument("--threads", type=int, help="CPU threads")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)

    def report(line: str) -> None:
        sys.stderr.write(line + "\n")

    rated = read_rated(given.data)
    eligible, held = split_rows(rated)
    wanted = [*choose_training(eligible, given.train), *held]
    scores = torch.tensor(rated.target()[wanted], dtype=torch.float32)
    training, validation = torch.arange(given.train), torch.arange(given.train, len(wanted))
    results: list[Result] = []
    protocol: dict[str, Any] = {
        "command": "python -m studies.ablations --data BIQ2021 --weights WEIGHTS --cache CACHE --out "
        f"{given.out.as_posix()} --train {given.train} --seeds {' '.join(map(str, given.seeds))} --side {given.side}"
        + (f" --threads {given.threads}" if given.threads else "")
        + ("" if given.rate is None else f" --study {' '.join(given.study)} --rate {given.rate:g}"),
        "training": given.train,
        "validation": len(held),
        "side": given.side,
        "split_seed": SPLIT_SEED,
        "torch": torch.__version__,
        "studies": {},
    }
    for study, sources in STUDIES:
        if study.name not in given.study:
            continue
        inputs = {
            name: torch.from_numpy(
                features(source, rated.images, wanted, given.weights, given.cache, given.side, report=report)
            )
            for name, source in sources.items()
        }
        found, protocol["studies"][study.name] = run_study(
            study, inputs, scores, training, validation, given.seeds, report, given.rate
        )
        results += found
        write(given.out, results, protocol, [names_of(rated)[index] for index in wanted[: given.train]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
