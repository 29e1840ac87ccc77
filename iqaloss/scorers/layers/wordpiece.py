"""BERT's uncased WordPiece tokenizer: a text becomes token ids, from nothing but a vocabulary file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from iqaloss._errors import missing_package, shown

_DOWNLOAD = "hf:"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@runtime_checkable
class ReadsPrompts(Protocol):
    """A scorer that reads the prompts of generated images."""

    def use_tokenizer(self, source: Any) -> object:
        """Lets prompts be texts."""


class WordPiece:
    """Lower-cases, strips accents, splits at spaces and punctuation, and matches the longest known pieces.

    The work is done by the package ``tokenizers`` (the extra ``text``).

    Args:
        vocabulary: The pieces; a piece's id is its place. Pieces inside a word start with ``##``.

    Example:
        >>> tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "##s", "!"])
        >>> tokenizer.encode("A cats!", length=8)
        [2, 4, 5, 6, 7, 3, 0, 0]
    """

    def __init__(self, vocabulary: list[str]) -> None:
        self.ids = {piece: index for index, piece in enumerate(vocabulary)}
        missing = [piece for piece in _SPECIAL if piece not in self.ids]
        if missing:
            raise ValueError(f"the vocabulary of {len(vocabulary)} pieces lacks {', '.join(missing)}")
        self._splitter = _splitter(self.ids)
        self._known: dict[tuple[str, int], list[int]] = {}

    @classmethod
    def of(cls, source: str | Path | WordPiece) -> WordPiece:
        """Returns a tokenizer as it is, and reads a vocabulary (see :meth:`load`); anything else is a ``TypeError``."""
        if isinstance(source, cls):
            return source
        if not isinstance(source, (str, Path)):
            raise TypeError(f"tokenizer must be a WordPiece, or a vocabulary's path or name, got {shown(source)}")
        return cls.load(source)

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
            ids = [self.ids["[CLS]"], *self._split(text)[: length - 2], self.ids["[SEP]"]]
            self._known[key] = ids + [self.ids["[PAD]"]] * (length - len(ids))
        return self._known[key]

    def _split(self, text: str) -> list[int]:
        # Python's lower case knows the Greek sigma at a word's end, as BERT's own tokenizer does.
        return self._splitter.encode(text.lower(), add_special_tokens=False).ids


def _splitter(ids: dict[str, int]) -> Any:
    try:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    except ImportError as error:
        raise missing_package("tokenizers", "text", "splitting a prompt into tokens") from error
    splitter = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    splitter.normalizer = normalizers.BertNormalizer(lowercase=True)  # which strips accents as well
    splitter.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return splitter
