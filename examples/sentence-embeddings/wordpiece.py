"""BERT's uncased tokenizer: clean and split the text, then match the longest known pieces of each word."""

import unicodedata
from pathlib import Path
from typing import Dict, List

LONGEST_WORD = 100


def _is_punctuation(char: str) -> bool:
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def _is_cjk(code: int) -> bool:
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )


def _split(text: str) -> List[str]:
    out = []
    for char in text:
        code = ord(char)
        if code in (0, 0xFFFD):
            continue
        category = unicodedata.category(char)
        if char in "\t\n\r" or category == "Zs":
            out.append(" ")
        elif category.startswith("C"):
            continue
        elif _is_cjk(code):
            out.append(" " + char + " ")
        else:
            out.append(char)
    plain = unicodedata.normalize("NFD", "".join(out).lower())
    parts = []
    for char in plain:
        if unicodedata.category(char) == "Mn":
            continue
        parts.append(" " + char + " " if _is_punctuation(char) else char)
    return "".join(parts).split()


class WordPiece:
    """Text to ids. Words are remembered, since most of them come again."""

    def __init__(self, vocabulary: Path, longest: int = 128) -> None:
        words = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
        self._ids = {word: index for index, word in enumerate(words)}
        self._unknown = self._ids["[UNK]"]
        self._start = self._ids["[CLS]"]
        self._end = self._ids["[SEP]"]
        self._longest = longest
        self._seen: Dict[str, List[int]] = {}

    def _pieces(self, word: str) -> List[int]:
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        ids = []
        start = 0
        while start < len(word):
            end = len(word)
            while end > start:
                piece = word[start:end] if start == 0 else "##" + word[start:end]
                found = self._ids.get(piece)
                if found is not None:
                    break
                end -= 1
            else:
                return [self._unknown]
            ids.append(found)
            start = end
        return ids

    def encode(self, text: str) -> List[int]:
        """The ids of a text, with [CLS] and [SEP], cut at the longest that the model takes."""
        ids = [self._start]
        for word in _split(text):
            pieces = self._seen.get(word)
            if pieces is None:
                pieces = self._pieces(word)
                if len(self._seen) < 100_000:
                    self._seen[word] = pieces
            ids.extend(pieces)
            if len(ids) >= self._longest - 1:
                break
        return ids[: self._longest - 1] + [self._end]
