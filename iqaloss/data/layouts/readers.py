"""Readers of the score tables that are no plain table: several files joined, or names that must be composed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from iqaloss.data.tables import Table, read_excel, read_matlab, read_table, read_text

PARA_DIMENSIONS = {
    "aesthetics": "aestheticScore",
    "color": "colorScore",
    "composition": "compositionScore",
    "content": "contentScore",
    "light": "lightScore",
    "depth_of_field": "dofScore",
    "content_preference": "contentPreference",
    "willingness_to_share": "willingnessToShare",
}
"""Our names of PARA's dimensions to the stems of its columns."""

LIVE_FOLDERS = ("jp2k", "jpeg", "wn", "gblur", "fastfading")
"""LIVE's folders in the order in which its scores count the images."""

CSIQ_TYPES = {
    "noise": "AWGN",
    "blur": "BLUR",
    "contrast": "contrast",
    "fnoise": "fnoise",
    "jpeg": "JPEG",
    "jpeg 2000": "jpeg2000",
}
"""CSIQ's distortions as its table calls them, to the middle of the file names."""


def _whole(columns: dict[str, list[Any]], path: Path) -> Table:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path}: the tables that belong together differ in length: {lengths}")
    return Table(str(path), columns, list(range(1, next(iter(lengths.values()), 0) + 1)))


def _only(table: Table, kept: list[int]) -> Table:
    columns = {name: [values[row] for row in kept] for name, values in table.columns.items()}
    return Table(table.source, columns, [table.lines[row] for row in kept])


def read_para(path: Path) -> Table:
    """Reads PARA's table of mean scores; an image lies in the folder of its session."""
    table = read_table(path)
    images = [f"{session}/{name}" for session, name in zip(table.column("sessionId"), table.column("imageName"))]
    return Table(table.source, {**table.columns, "image": images}, table.lines)


def read_tid2013(path: Path) -> Table:
    """Reads TID2013's scores, each with its image, and the deviations that lie beside them in the same order."""
    table = read_text(path, header=("score", "image"))
    beside = path.with_name("mos_std.txt")
    deviations: list[Any] = [""] * len(table)
    if beside.is_file():
        deviations = read_text(beside, header=("std",)).columns["std"]
        if len(deviations) != len(table):
            raise ValueError(f"{beside} has {len(deviations)} rows, {path} has {len(table)}")
    return Table(table.source, {**table.columns, "std": deviations}, table.lines)


def read_names_and_scores(path: Path) -> Table:
    """Reads lines of an image and its score: PIPAL's labels are Elo scores."""
    return read_text(path, header=("image", "score"))


def read_live(path: Path) -> Table:
    """Reads LIVE's realigned DMOS; rows of the undistorted originals are left out."""
    root = path.parent
    names: list[str] = []
    for folder in LIVE_FOLDERS:
        numbers = [int(m[1]) for file in (root / folder).glob("*.bmp") if (m := re.fullmatch(r"img(\d+)", file.stem))]
        names += [f"{folder}/img{number}.bmp" for number in range(1, max(numbers, default=0) + 1)]
    columns: dict[str, list[Any]] = {
        "image": names,
        "score": read_matlab(path, "dmos_new"),
        "std": read_matlab(path, "dmos_std"),
        "reference": read_matlab(root / "refnames_all.mat", "refnames_all"),
        "original": read_matlab(path, "orgs"),
    }
    table = _whole(columns, path)
    kept = [row for row, original in enumerate(columns["original"]) if not original]
    return _only(table, kept)


def read_live_challenge(path: Path) -> Table:
    """Reads the LIVE Challenge; the seven images that trained the observers (t1 to t7) are left out."""
    folder = path.parent
    columns: dict[str, list[Any]] = {
        "image": read_matlab(folder / "AllImages_release.mat", "AllImages_release"),
        "score": read_matlab(path, "AllMOS_release"),
        "std": read_matlab(folder / "AllStdDev_release.mat", "AllStdDev_release"),
    }
    table = _whole(columns, path)
    kept = [row for row, name in enumerate(columns["image"]) if not re.fullmatch(r"t\d+\.\w+", name)]
    return _only(table, kept)


def read_csiq(path: Path) -> Table:
    """Reads CSIQ's workbook, whose rows name reference, distortion and level."""
    table = read_excel(path, sheet="all_by_image", marker="dmos")
    kept = [row for row, image in enumerate(table.column("image")) if image is not None]
    table = _only(table, kept)
    columns = dict(table.columns)
    # The reference 1600 comes out of the workbook as a number.
    sources = [str(int(name)) if isinstance(name, float) else str(name) for name in columns["image"]]
    kinds = [str(kind).lower() for kind in columns["dst_type"]]
    unknown = sorted(set(kinds) - set(CSIQ_TYPES))
    if unknown:
        raise ValueError(f"{path}: unknown distortion {unknown[0]!r}; known: {', '.join(CSIQ_TYPES)}")
    columns["image"] = [
        f"{source}.{CSIQ_TYPES[kind]}.{int(level)}.png"
        for source, kind, level in zip(sources, kinds, columns["dst_lev"])
    ]
    columns["reference"] = [f"{source}.png" for source in sources]
    return Table(table.source, columns, table.lines)


def read_aigciqa2023(path: Path) -> Table:
    """Reads AIGCIQA2023: image n.png for row n; each of six models made four images for each of 100 prompts."""
    scores = path.parent
    count = len(quality := read_matlab(path, "MOSz"))
    prompt_of = [row % 400 // 4 for row in range(count)]
    columns: dict[str, list[Any]] = {
        "image": [f"{row}.png" for row in range(count)],
        "score": quality,
        "authenticity": read_matlab(scores / "mosz2.mat", "MOSz"),
        "correspondence": read_matlab(scores / "mosz3.mat", "MOSz"),
        "std": read_matlab(scores.parent / "STD" / "SD1.mat", "SD"),
        "group": [f"prompt {prompt}" for prompt in prompt_of],
    }
    prompts = _aigciqa2023_prompts(scores.parent.parent)
    columns["prompt"] = [prompts[prompt] if prompt < len(prompts) else "" for prompt in prompt_of]
    return _whole(columns, path)


def _aigciqa2023_prompts(root: Path) -> list[str]:
    """Returns the prompts in order; empty where the workbook of the prompts was not unpacked."""
    book = next(iter(sorted(root.glob("*rompts.xlsx"))), None)
    if book is None:
        return []
    table = read_excel(book)
    name = table.find("prompt", "prompts") or list(table.columns)[min(2, len(table.columns) - 1)]
    return [str(value) for value in table.columns[name]]
