"""BERT's uncased WordPiece tokenizer: a text becomes token ids, from nothing but a vocabulary file."""

from __future__ import annotations

import unicodedata
from pathlib import Path

_DOWNLOAD = "hf:"
_LONGEST_WORD = 100
_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Lower-cases, strips accents, splits at spaces and punctuation, and matches the longest known pieces.

    Args:
        vocabulary: The pieces; a piece's id is its place. Pieces inside a word start with ``##``.

    Example:
        >>> tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "##s", "!"])
        >>> tokenizer.encode("A cats!", length=8)
        [2, 4, 5, 6, 7, 3, 0, 0]
    """

    def __init__(self, vocabulary: list[str]) -> None:
        self.ids = {piece: index for index, piece in enumerate(vocabulary)}
        missing = [piece for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if piece not in self.ids]
        if missing:
            raise ValueError(f"the vocabulary of {len(vocabulary)} pieces lacks {', '.join(missing)}")
        self._known: dict[tuple[str, int], list[int]] = {}

    @classmethod
    def load(cls, source: str | Path) -> WordPiece:
        """Reads a vocabulary.

        Args:
            source: A ``vocab.txt``, a folder that holds one, or ``"hf:"`` and the name of a Hugging Face
                repository to download it from, such as ``"hf:google-bert/bert-base-uncased"``.

        Raises:
            FileNotFoundError: If there is no such file or folder; nothing is downloaded unless asked for.
            ValueError: If the file is not a BERT vocabulary.
        """
        if str(source).startswith(_DOWNLOAD):
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(str(source).removeprefix(_DOWNLOAD), "vocab.txt"))
        else:
            path = Path(source) / "vocab.txt" if Path(source).is_dir() else Path(source)
        if not path.is_file():
            raise FileNotFoundError(
                f"no vocabulary at {str(source)!r}: pass a BERT vocab.txt, a folder that holds it, or, to download it, "
                '"hf:google-bert/bert-base-uncased"'
            )
        try:
            return cls(path.read_text(encoding="utf-8").splitlines())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def encode(self, text: str, length: int) -> list[int]:
        """Returns ``[CLS]``, the text and ``[SEP]``, cut and padded to ``length`` ids; each text is split once."""
        key = (text, length)
        if key not in self._known:
            ids = [self.ids[piece] for word in _words(text) for piece in self._pieces(word)][: length - 2]
            ids = [self.ids["[CLS]"], *ids, self.ids["[SEP]"]]
            self._known[key] = ids + [self.ids["[PAD]"]] * (length - len(ids))
        return self._known[key]

    def _pieces(self, word: str) -> list[str]:
        """Splits a word into the longest known pieces, from the left."""
        if len(word) > _LONGEST_WORD:
            return ["[UNK]"]
        pieces = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.ids), None)
            if end is None:
                return ["[UNK]"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


def _words(text: str) -> list[str]:
    """Splits a text at white space, around punctuation and around CJK characters, in lower case, without accents."""
    clean = "".join(_clean(character) for character in text)
    bare = "".join(c for c in unicodedata.normalize("NFD", clean.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_punctuation(c) else c for c in bare).split()


def _clean(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if character in "\t\n\r" or category == "Zs":
        return " "
    if code in (0, 0xFFFD) or category.startswith("C"):
        return ""
    return f" {character} " if any(low <= code <= high for low, high in _CJK) else character


def _is_punctuation(character: str) -> bool:
    symbol = character.isascii() and character.isprintable() and not character.isalnum() and character != " "
    return symbol or unicodedata.category(character).startswith("P")
