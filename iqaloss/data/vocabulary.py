"""The names under which columns of human scores are known, in tables, Parquet files and the labels of shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "image": (
        "image", "image_name", "image_path", "img", "img_name", "img_path", "filename", "file_name", "file", "path",
        "name", "dist_img", "dist_name", "distorted", "jpg", "png",
    ),
    # What people said comes before what a model may have said.
    "score": (
        "mos", "quality_mos", "mos_quality", "mean_opinion_score", "mos_zscore", "dmos", "dmos_zscore",
        "difference_mean_opinion_score", "differential_mean_opinion_score", "quality", "score",
    ),
    "std": ("std", "stddev", "sd", "stdev", "mos_std", "score_std"),
    "reference": ("reference", "ref", "ref_img", "ref_name", "reference_image", "ref_path"),
    "prompt": ("prompt", "text_prompt", "caption"),
    "split": ("split", "set"),
    "group": ("group", "content", "content_group", "scene"),
}  # fmt: skip
"""What a column holds, to the names that it may have, the best first."""

LOWER_IS_BETTER = ("dmos", "differencemeanopinionscore", "differentialmeanopinionscore")
"""What the plain name of a score column that counts degradation holds."""


def plain(name: str) -> str:
    """Returns a column name without letter case, spaces and punctuation.

    Example:
        >>> plain("Image Name"), plain("D-MOS")
        ('imagename', 'dmos')
    """
    return "".join(char for char in name.lower() if char.isalnum())


def find_column(names: Iterable[str], *wanted: str) -> str | None:
    """Returns the first of the wanted columns under the name that it has, or None.

    Example:
        >>> find_column(["Image Name", "MOS"], "image", "image_name")
        'Image Name'
    """
    own = {plain(name): name for name in reversed(list(names))}
    return next((own[plain(name)] for name in wanted if plain(name) in own), None)


def find_roles(names: Iterable[str]) -> dict[str, str]:
    """Returns what each known column holds: role to the name that the column has.

    Example:
        >>> find_roles(["img_name", "MOS", "note"])
        {'image': 'img_name', 'score': 'MOS'}
    """
    known = list(names)
    found = {role: find_column(known, *synonyms) for role, synonyms in VOCABULARY.items()}
    return {role: name for role, name in found.items() if name is not None}


def counts_degradation(column: str) -> bool:
    """Whether a low value in a score column of this name means a good image: the one place that decides it.

    Example:
        >>> counts_degradation("D-MOS"), counts_degradation("realigned DMOS"), counts_degradation("MOS")
        (True, True, False)
    """
    return any(name in plain(column) for name in LOWER_IS_BETTER)


def rivals(names: Iterable[str], taken: str) -> list[str]:
    """Returns the further columns of a table that could be the score column.

    Example:
        >>> rivals(["image", "mos", "score"], "mos")
        ['score']
    """
    known = {plain(name) for name in VOCABULARY["score"]}
    return [name for name in names if plain(name) in known and name != taken]


def missing_column(source: str, role: str, names: Iterable[str]) -> ValueError:
    """Returns the error for a table that lacks a needed column."""
    return ValueError(
        f"{source}: no {role} column; it has {', '.join(names)}, and one of these is needed: "
        f"{', '.join(VOCABULARY[role])}"
    )
