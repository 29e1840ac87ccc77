"""The page and the numbers behind it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iqaloss._files import write_text
from iqaloss.ranking.votes import Votes
from iqaloss.scorers.registry import entry
from studies.judges import laboratory, tid
from studies.judges.distortions import DISTORTIONS
from studies.judges.items import Item, Kept, said
from studies.judges.measures import CANDIDATES
from studies.judges.verdicts import Verdict, Verdicts, against_scores, against_votes, by_group, of_scores

TITLES = {
    "tid": "TID2013, rebuilt",
    "laboratory": "Laboratory scores, with sources",
    "laboratory_all": "Laboratory scores, all pictures",
    "votes": "Votes on two losses",
    "pairs": "TID2013, five real pairs",
}
EXTRA = {"oracle": "(the majority)", "names": "(the names of the two losses)"}
MARKS = {"a say": "", "no say": "*", "against": "†"}
HEADINGS = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC", "two_afc": "2AFC"}


@dataclass(frozen=True)
class Asked:
    """A set, what candidates said of it, and the votes where people compared."""

    name: str
    items: Sequence[Item]
    kept: Kept
    votes: Votes | None = None


def title(name: str) -> str:
    """What a candidate, or what stands beside them, is called."""
    return EXTRA[name] if name in EXTRA else CANDIDATES[name].title if name in CANDIDATES else f"{name}, as published"


def judged(asked: Asked, given: argparse.Namespace) -> Verdicts:
    """Measures every candidate on a set, and beside them what was published of the same pictures."""
    if asked.votes is not None:
        return against_votes(asked.votes, asked.kept, given.repeats, given.seed)
    found = against_scores(asked.items, asked.kept, given.repeats, given.seed)
    if asked.name.startswith("laboratory"):
        there, known = said(asked.items, asked.kept), laboratory.read_published(given.laboratory)
        rows = [known[laboratory.name_of(item)] for item in there]
        for metric in laboratory.PUBLISHED:
            values = [row[metric] for row in rows]
            found[metric.upper()] = of_scores(values, [item.score for item in there], given.repeats, given.seed)
    return found


def cell(verdict: Verdict, name: str) -> str:
    """A value with its interval; and whether it has no say, or speaks against people."""
    value = f"{verdict.values[name]:.3f}"
    if name in verdict.ci:
        value += " [{:.2f}, {:.2f}]".format(*verdict.ci[name])
    return value if name != verdict.main or verdict.word == "a say" else f"{value} {verdict.word}"


def set_table(verdicts: Verdicts) -> Iterator[str]:
    """One set: a line for each candidate."""
    names = list(next(iter(verdicts.values())).values)
    yield "| | " + " | ".join(HEADINGS[name] for name in names) + " |"
    yield "|---|" + "---|" * len(names)
    for who, verdict in verdicts.items():
        yield f"| {title(who)} | " + " | ".join(cell(verdict, name) for name in names) + " |"
    yield ""


def group_table(groups: Mapping[str, Verdicts], what: str) -> Iterator[str]:
    """SRCC within each group; with the marks of what has no say."""
    first = next(iter(groups.values()))
    yield f"| {what} | n | " + " | ".join(title(name) for name in first) + " |"
    yield "|---|---|" + "---|" * len(first)
    for group, verdicts in groups.items():
        cells = [f"{one.values['srcc']:.2f}{MARKS[one.word]}" for one in verdicts.values()]
        yield f"| {group} | {next(iter(verdicts.values())).n} | " + " | ".join(cells) + " |"
    means = [np.nanmean([verdicts[who].values["srcc"] for verdicts in groups.values()]) for who in first]
    yield "| mean | | " + " | ".join(f"{value:.2f}" for value in means) + " |"
    yield ""


def who_has_a_say(name: str, verdicts: Verdicts) -> str:
    """A plain sentence on a set."""
    there = sorted((who for who in verdicts if who in CANDIDATES), key=lambda who: -_main(verdicts[who]))
    sentences = [f"- **{TITLES[name]}**: closest to people are {_listed(there[:3], verdicts)}"]
    for word, start in (("no say", "No say there"), ("against", "Against people")):
        if who := [who for who in there if verdicts[who].word == word]:
            sentences.append(f"{start}: {_listed(who, verdicts)}")
    return ". ".join(sentences) + "."


def _listed(names: Sequence[str], verdicts: Verdicts) -> str:
    return ", ".join(f"{title(who)} ({_main(verdicts[who]):.2f})" for who in names)


def _main(verdict: Verdict) -> float:
    return verdict.values[verdict.main]


def command(given: argparse.Namespace) -> str:
    """The command that makes the page, without anybody's folders."""
    return (
        "IQALOSS_PANEL=WEIGHTS python -m studies.judges --kodak KODAK --scores TID2013.txt --pairs PAIRS --votes VOTES "
        f"--laboratory LAB --cache CACHE --out studies/results --references {given.references} "
        f"--levels {' '.join(map(str, given.levels))} --trials {given.trials} --seed {given.seed} "
        f"--repeats {given.repeats}"
    )


def protocol(asked: Sequence[Asked]) -> Iterator[str]:
    """What was done, set by set."""
    there = {one.name: len(said(one.items, one.kept)) for one in asked}
    yield (
        "- Every value is turned so that higher is better. Intervals hold 95 % of the resamples of a bootstrap over "
        "pictures (votes: over the pictures with their votes). A candidate has a say on a set where the whole interval "
        "of its SRCC lies above 0, or that of its 2AFC score above one half; it has none where the interval holds that "
        "value. Pictures of one original are not independent: true intervals are wider."
    )
    yield (
        f"- MDIQALoss and IQALoss look with {entry('mdiqa-mobile').card.versioned}, at their defaults. "
        "`less target's`: the prediction's loss less "
        'its target\'s, as with `relative_to="target_signed"`; `below target`: the same, but 0 where it is '
        "better. TV alone counts little of it as good."
    )
    if "tid" in there:
        missing = len(next(one for one in asked if one.name == "tid").items) - there["tid"]
        kinds = ", ".join(item.name for item in DISTORTIONS.values())
        yield (
            f"- {TITLES['tid']}: the published scores stand beside distortions that are made anew on the bit-exact "
            f"originals {', '.join(f'I{number:02d}' for number in tid.PLACES)}, to the PSNR of their level (over the "
            f"whole picture; 1 dB off at most, {missing} could not be made). Rebuilt: {kinds}. Not rebuilt: masked "
            "noise, denoising, both transmission errors, patterns moved nearby, blocks, comfort noise, noise under a "
            "lossy coder, sparse sampling (not given closely enough), mean shift (its sign at a level is not given). "
            "The real pairs confirm the change of saturation to half a gray level; filters, coders and directions of "
            f"the others are ours. Candidates see the middle {tid.SIDE} by {tid.SIDE} pixels, people saw all: what the "
            "middle holds moves distances from one original to the next, so that the rows within an original say more "
            "than those over all."
        )
    if "laboratory" in there:
        yield (
            f"- {TITLES['laboratory']}: {there['laboratory']} pictures of the four sources that can be had; "
            f"{there.get('laboratory_all', 0)} pictures without a source for scores alone. All are brought to "
            f"{laboratory.FRAME} by {laboratory.FRAME} pixels, the middle {laboratory.SIDE} by {laboratory.SIDE} is "
            "seen; people saw them at 2160. As published: what its authors measured at 2160 on the same pictures."
        )
    if "votes" in there:
        yield (
            f"- {TITLES['votes']}: {there['votes'] // 2} pairs of gray pictures of 64 by 64 with at least 10 votes "
            "each; each pair counts once. Beside the candidates: who knows the majority, and who knows the names of "
            "the two losses alone."
        )
    if "pairs" in there:
        yield (
            f"- {TITLES['pairs']}: the middle {2 * tid.SIDE} by {2 * tid.SIDE} pixels; type and level told by the eye "
            "and the PSNR (I03 may be JPEG 2000 or sparse sampling, either way the worst). Five pairs show nothing but "
            "the direction."
        )


def write(given: argparse.Namespace, asked: Sequence[Asked]) -> None:
    """Writes ``judges.md`` and ``judges.json``."""
    verdicts = {one.name: judged(one, given) for one in asked}
    groups = {
        f"{one.name}, by {what}": by_group(one.items, one.kept, what, given.repeats, given.seed)
        for one in asked
        for what in (one.items[0].groups if one.items else ())
    }
    finding = given.out / "judges_finding.md"
    lines = ["# Who may judge what?", ""]
    if finding.is_file():
        lines += [finding.read_text(encoding="utf-8").strip(), ""]
    lines += ["## Who has a say", "", *(who_has_a_say(name, found) for name, found in verdicts.items()), ""]
    for one in asked:
        count = len(said(one.items, one.kept)) // (2 if one.votes else 1)
        lines += [f"## {TITLES[one.name]} ({count})", "", *set_table(verdicts[one.name])]
        for what in one.items[0].groups if one.items else ():
            lines += [f"SRCC within each {what}; * is no more than chance, † is against people beyond chance:", ""]
            lines += group_table(groups[f"{one.name}, by {what}"], what)
    lines += ["## Protocol", "", f"    {command(given)}", "", *protocol(asked), "- Raw results: `judges.json`."]
    write_text(given.out / "judges.md", "\n".join(lines) + "\n")
    plain = {name: {who: one.to_dict() for who, one in found.items()} for name, found in verdicts.items()}
    inside = {
        name: {group: {who: one.to_dict() for who, one in found.items()} for group, found in sets.items()}
        for name, sets in groups.items()
    }
    content = {"command": command(given), "sets": plain, "groups": inside}
    write_text(given.out / "judges.json", json.dumps(content, indent=1) + "\n")
