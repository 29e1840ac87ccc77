"""What people are shown: pairs of pictures, in an order and on sides of each person's own, catch trials among them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from iqaloss._errors import unknown_name
from iqaloss.data.images import open_image
from iqaloss.data.tables import read_table
from iqaloss.ranking.selection import Outputs

SHOWN_AS_THEY_ARE = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
"""Files that every browser shows, to their type; others are sent as PNG."""


@dataclass(frozen=True)
class Picture:
    """A file below one of the folders that were given; it is read only while it leads nowhere else."""

    root: Path
    path: Path

    def checked(self) -> Path:
        """Returns the file; a PermissionError where a link leads out of the folder."""
        found = self.path.resolve()
        if not found.is_relative_to(self.root.resolve()):
            raise PermissionError(f"{self.path} leads out of the folder {self.root}")
        return found


@dataclass(frozen=True)
class Comparison:
    """Two methods' outputs for one picture; a catch trial compares an output with its own spoilt version.

    Attributes:
        image, first, second: The picture that both methods were given, and the methods; one of them twice in a catch
            trial, whose second picture is spoilt.
        pictures: The two outputs.
    """

    image: str
    first: str
    second: str
    pictures: tuple[Picture, Picture]

    @property
    def catch(self) -> bool:
        """Whether this is a catch trial: everyone who looks prefers the first picture."""
        return self.first == self.second

    @property
    def key(self) -> str:
        """A name that tells nothing of the methods."""
        return _mixed(self.image, self.first, self.second)[:16]

    def read(self, number: int) -> tuple[bytes, str]:
        """Returns the first (0) or second (1) picture as it is shown, and its type."""
        path = self.pictures[number].checked()
        if number and self.catch:
            return spoilt(path), "image/png"
        if kind := SHOWN_AS_THEY_ARE.get(path.suffix.lower()):
            return path.read_bytes(), kind
        content = io.BytesIO()
        open_image(path).save(content, "PNG")
        return content.getvalue(), "image/png"


def _mixed(*words: object) -> str:
    return hashlib.sha256("\0".join(map(str, words)).encode("utf-8", "surrogateescape")).hexdigest()


def spoilt(path: Path) -> bytes:
    """Returns a clearly worse version of a picture as PNG: a fifth of its pixels a side, then coarse JPEG.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "x.png"
        >>> Image.linear_gradient("L").save(path)
        >>> Image.open(io.BytesIO(spoilt(path))).size
        (256, 256)
    """
    from PIL import Image

    image = open_image(path)
    small = image.resize((max(1, image.width // 5), max(1, image.height // 5)), Image.Resampling.BOX)
    coarse, content = io.BytesIO(), io.BytesIO()
    small.resize(image.size, Image.Resampling.BILINEAR).save(coarse, "JPEG", quality=5)
    Image.open(coarse).save(content, "PNG")
    return content.getvalue()


def all_comparisons(outputs: Outputs, folders: Mapping[str, str | Path]) -> list[Comparison]:
    """Every two methods on every picture.

    Args:
        outputs: What :func:`~iqaloss.ranking.selection.find_outputs` found in the folders.
        folders: Method to the folder of its outputs.

    Example:
        >>> outputs = Outputs(("A", "B", "C"), ("x",), (("A/x.png", "B/x.png", "C/x.png", "in/x.png"),))
        >>> [(one.first, one.second) for one in all_comparisons(outputs, {"A": "A", "B": "B", "C": "C"})]
        [('A', 'B'), ('A', 'C'), ('B', 'C')]
    """
    rows = ((name, *pair) for name in outputs.names for pair in combinations(outputs.methods, 2))
    return _comparisons(outputs, folders, rows)


def chosen_comparisons(path: str | Path, outputs: Outputs, folders: Mapping[str, str | Path]) -> list[Comparison]:
    """The pairs of a table with the columns ``image``, ``first`` and ``second``, as ``rank select`` writes it.

    Args:
        path: The table.
        outputs, folders: As in :func:`all_comparisons`.

    Example:
        >>> import tempfile
        >>> outputs = Outputs(("A", "B"), ("y",), (("A/y.png", "B/y.png", "in/y.png"),))
        >>> path = Path(tempfile.mkdtemp()) / "pairs.csv"
        >>> _ = path.write_text("image,first,second\\ny,B,A\\n")
        >>> [(one.image, one.first) for one in chosen_comparisons(path, outputs, {"A": "A", "B": "B"})]
        [('y', 'B')]
    """
    table = read_table(path)
    columns = [[str(value) for value in table.column(name)] for name in ("image", "first", "second")]
    names, methods = set(outputs.names), set(outputs.methods)
    for line, image, *both in zip(table.lines, *columns):
        if image not in names:
            raise ValueError(f"{path} line {line}: {unknown_name('picture', image, outputs.names)}")
        for method in both:
            if method not in methods:
                raise ValueError(f"{path} line {line}: {unknown_name('method', method, outputs.methods)}")
        if both[0] == both[1]:
            raise ValueError(f"{path} line {line}: {both[0]!r} is compared with itself")
    return _comparisons(outputs, folders, dict.fromkeys(zip(*columns)))


def _comparisons(
    outputs: Outputs, folders: Mapping[str, str | Path], rows: Iterable[tuple[str, ...]]
) -> list[Comparison]:
    files = dict(zip(outputs.names, outputs.files))
    number = {method: place for place, method in enumerate(outputs.methods)}
    pictures = {method: Path(folders[method]) for method in outputs.methods}

    def picture(image: str, method: str) -> Picture:
        return Picture(pictures[method], Path(files[image][number[method]]))

    return [Comparison(image, a, b, (picture(image, a), picture(image, b))) for image, a, b in rows]


def catch_trials(comparisons: Sequence[Comparison], count: int, seed: int = 0) -> list[Comparison]:
    """Makes catch trials of some of the pictures that are compared; a ValueError where there are not so many.

    Example:
        >>> here = Picture(Path("."), Path("x.png"))
        >>> [one.catch for one in catch_trials([Comparison("x", "A", "B", (here, here))], 2)]
        [True, True]
    """
    found = {(one.image, one.first): one.pictures[0] for one in comparisons}
    found |= {(one.image, one.second): one.pictures[1] for one in comparisons}
    if not 0 <= count <= len(found):
        raise ValueError(f"catch must be from 0 to the number of pictures that are compared, {len(found)}, got {count}")
    drawn = sorted(found, key=lambda name: _mixed("catch", seed, *name))[:count]
    return [Comparison(image, method, method, (found[image, method],) * 2) for image, method in drawn]


def order_for(
    subject: str, comparisons: Sequence[Comparison], *, limit: int | None = None, seed: int = 0
) -> list[tuple[Comparison, bool]]:
    """A subject's own order, and for each comparison whether its second picture stands on the left.

    Both follow from the seed and the subject alone, and another comparison moves none of the others.

    Args:
        subject: The subject's token.
        comparisons: Comparisons and catch trials.
        limit: Most comparisons for each subject, beside the catch trials.
        seed: Another seed, other orders.

    Example:
        >>> here = Picture(Path("."), Path("x.png"))
        >>> pairs = [Comparison(image, "A", "B", (here, here)) for image in "xyz"]
        >>> [one.image for one, swapped in order_for("somebody", pairs, limit=2)]
        ['x', 'y']
    """
    drawn = {one: _mixed("order", seed, subject, one.key) for one in comparisons}
    real = sorted((one for one in comparisons if not one.catch), key=drawn.__getitem__)[:limit]
    shown = sorted([*real, *(one for one in comparisons if one.catch)], key=drawn.__getitem__)
    return [(one, int(drawn[one][-1], 16) % 2 == 1) for one in shown]
