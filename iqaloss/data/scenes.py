"""Pictures of one scene, found by name in the folders of several methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from iqaloss.data.images import is_picture


def scene_of(path: Path, method: str) -> str:
    """Returns the scene that a file shows: its name without suffix, and without the method's name at the end.

    Example:
        >>> scene_of(Path("out/0014_SeeSR.png"), "SeeSR"), scene_of(Path("out/0014.jpg"), "SeeSR")
        ('0014', '0014')
    """
    stem = path.stem
    for mark in "_-.":
        if stem.lower().endswith(f"{mark}{method}".lower()):
            return stem[: -len(method) - 1]
    return stem


def match_scenes(root: str | Path, methods: Iterable[str]) -> dict[str, tuple[Path, ...]]:
    """Returns scene to its pictures, one of each method in the order given; every method must show every scene.

    Args:
        root: Holds a folder for each method.
        methods: Names of the folders.

    Raises:
        ValueError: If a folder is empty, two files of a method show one scene, or a method lacks a scene that
            another one has; the message names them.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("A/1.png", "B/1_B.png"):
        ...     (root / name).parent.mkdir()
        ...     _ = (root / name).write_bytes(b"")
        >>> list(match_scenes(root, ["A", "B"]))
        ['1']
    """
    found = {method: _scenes(Path(root) / method, method) for method in methods}
    everywhere = sorted({scene for scenes in found.values() for scene in scenes})
    for method, scenes in found.items():
        missing = [scene for scene in everywhere if scene not in scenes]
        if missing:
            has = next(name for name, others in found.items() if missing[0] in others)
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(
                f"{Path(root) / method} has no picture of the scene {missing[0]!r}{more}, {has} has one: methods are "
                "compared on the same scenes, matched by file name"
            )
    return {scene: tuple(scenes[scene] for scenes in found.values()) for scene in everywhere}


def _scenes(folder: Path, method: str) -> Mapping[str, Path]:
    scenes: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and is_picture(path.name)):
        scene = scene_of(path, method)
        if scene in scenes:
            raise ValueError(f"{folder}: {scenes[scene].name} and {path.name} both show the scene {scene!r}")
        scenes[scene] = path
    if not scenes:
        raise ValueError(f"{folder} holds no image that can be read")
    return scenes
