"""Splits by content group: rows that share a reference or a scene never end up on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from iqaloss.data.manifest import Manifest


def group_order(groups: Sequence[str], seed: int | str = 0) -> list[str]:
    """Returns the distinct groups in a random order that depends on their names and the seed alone.

    Example:
        >>> group_order(["b", "a", "a"]) == group_order(["a", "b"])
        True
    """
    return sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).hexdigest())


def split_rows(groups: Sequence[str], fractions: Mapping[str, float], seed: int | str = 0) -> dict[str, list[int]]:
    """Splits rows into named shares by their groups.

    Whole groups, in a seeded order, fill the shares one after the other; each gets at least one group. With groups of
    different sizes the shares' sizes are as near to the fractions as whole groups allow.

    Args:
        groups: Group of each row.
        fractions: How much of the rows each share gets, by name; they must add up to 1.
        seed: Another seed, another split.

    Returns:
        Row numbers of each share, in the rows' order.

    Raises:
        ValueError: If a fraction is not positive, they do not add up to 1, or there are fewer groups than shares.

    Example:
        >>> shares = split_rows(["a", "a", "b", "c"], {"train": 0.75, "val": 0.25})
        >>> len(shares["train"]) + len(shares["val"])
        4
    """
    if not fractions or any(not share > 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"fractions must be positive and add up to 1, got {dict(fractions)}")
    rows_of: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows_of.setdefault(group, []).append(row)
    if len(rows_of) < len(fractions):
        raise ValueError(f"{len(rows_of)} content groups cannot be split into {len(fractions)} shares without a leak")
    order = group_order(groups, seed)
    shares: dict[str, list[int]] = {name: [] for name in fractions}
    names, target, filled, start = list(fractions), 0.0, 0, 0
    for position, name in enumerate(names):
        target += fractions[name] * len(groups)
        later = len(names) - position - 1
        while start < len(order) - later:
            size = len(rows_of[order[start]])
            # A group goes where it brings the rows nearer to what was asked for.
            if later and shares[name] and abs(filled + size - target) > abs(filled - target):
                break
            shares[name].extend(rows_of[order[start]])
            filled += size
            start += 1
    return {name: sorted(rows) for name, rows in shares.items()}


def split_manifest(manifest: Manifest, fractions: Mapping[str, float], seed: int | str = 0) -> dict[str, Manifest]:
    """Splits a manifest by its content groups; a row without a group stands for itself.

    Example:
        >>> split_manifest(manifest, {"train": 0.8, "test": 0.2})["test"]  # doctest: +SKIP
    """
    groups = manifest.groups or tuple(str(path) for path in manifest.images)
    # An empty group name means that nothing is known of the row's content.
    named = [group or str(path) for group, path in zip(groups, manifest.images)]
    return {name: manifest.subset(rows) for name, rows in split_rows(named, fractions, seed).items()}


ROLES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What a row is for, to the names that tables give it."""


def own_shares(manifest: Manifest, fractions: Mapping[str, float], seed: int | str = 0) -> dict[str, Manifest]:
    """Returns the training and validation rows of a manifest's own split; of one without, those of a split by content.

    Test rows are left alone. Where no rows are for validation, they are split off the training rows.

    Args:
        manifest: The rows.
        fractions: How much ``"train"`` and ``"val"`` get of what has to be split.
        seed: Seed of that split.

    Raises:
        ValueError: If a name of the split is unknown, or no rows are for training.
    """
    if manifest.splits is None:
        return split_manifest(manifest, fractions, seed)
    rows: dict[str, list[int]] = {}
    role_of = {name: role for role, names in ROLES.items() for name in names}
    for row, split in enumerate(manifest.splits):
        rows.setdefault(role_of.get(split.strip().lower(), split), []).append(row)
    if not set(rows) <= set(ROLES) or "train" not in rows:
        raise ValueError(
            f"{manifest.name}: its split column holds {', '.join(sorted(map(repr, set(manifest.splits))))}, where "
            f"train is needed and {', '.join(sorted(set(role_of) - {'train'}))} are known; split_by=group "
            "(--split-by group) does not look at it"
        )
    train = manifest.subset(rows["train"])
    if "val" not in rows:
        return split_manifest(train, fractions, seed)
    return {"train": train, "val": manifest.subset(rows["val"])}
