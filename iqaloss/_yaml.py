"""YAML that says what it means: no key twice, no aliases that grow without end, and errors that name the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from iqaloss._errors import optional

EXPONENT = re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$")

LARGEST = 100_000
"""Most values that a file may stand for, every alias counted as what it repeats."""


def read_yaml(path: str | Path, *, exponents: bool = False) -> Any:
    """Returns what a YAML file holds; see :func:`parse_yaml`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such YAML, or no text in UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: {error}") from error
    return parse_yaml(text, str(path), exponents=exponents)


def parse_yaml(text: str, source: str, *, exponents: bool = False) -> Any:
    """Returns what YAML text holds: plain values only.

    Args:
        text: The text.
        source: Where it is from, for messages.
        exponents: Whether ``1e-4``, which YAML 1.1 takes for a word, as it has no decimal point, is a number.

    Raises:
        ValueError: If it is no YAML, a mapping has a key twice, it is nested too deeply, or its aliases stand for more
            than :data:`LARGEST` values; names the source and the line.

    Example:
        >>> parse_yaml("{lr: 1, steps: 2, lr: 3}", "recipe")
        Traceback (most recent call last):
        ValueError: recipe line 1: the key 'lr' is there twice
    """
    yaml = optional("yaml", "PyYAML", "train", "reading a recipe")
    kind: Any = type("Loader", (yaml.SafeLoader,), {})  # a resolver is added to a class
    if exponents:
        kind.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))
    loader = kind(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _measure(root, source, {}, set())
        return _constructed(loader, root, source)
    except yaml.YAMLError as error:
        raise ValueError(f"{source} is not valid YAML: {error}") from error
    except RecursionError:
        raise ValueError(f"{source} is nested too deeply") from None
    finally:
        loader.dispose()


def _constructed(loader: Any, root: Any, source: str) -> Any:
    try:
        return loader.construct_document(root)
    except (ValueError, OverflowError, AttributeError) as error:  # a month 13, a number of 5000 digits
        raise ValueError(f"{source} holds a value that cannot be: {error}") from error


def _measure(node: Any, source: str, known: dict[int, int], above: set[int]) -> int:
    """Returns how many values a node stands for, and refuses keys that are there twice."""
    if id(node) in known:
        return known[id(node)]
    where = f"{source} line {node.start_mark.line + 1}"
    if id(node) in above:
        raise ValueError(f"{where}: an alias stands for what holds it")
    if isinstance(node.value, str):
        return 1
    pairs = bool(node.value) and isinstance(node.value[0], tuple)
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value if pairs else ():
        name = (key.tag, key.value) if isinstance(key.value, str) else ("", str(id(key)))
        if name in seen:
            raise ValueError(f"{source} line {key.start_mark.line + 1}: the key {key.value!r} is there twice")
        seen.add(name)
    inside = [each for pair in node.value for each in pair] if pairs else node.value
    total = 1
    for each in inside:
        total += _measure(each, source, known, above | {id(node)})
        if total > LARGEST:
            raise ValueError(f"{where}: it stands for more than {LARGEST} values, through aliases of aliases")
    known[id(node)] = total
    return total
