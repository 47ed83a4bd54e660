"""Data URIs (RFC 2397) of input files: their bytes, the extension that these get, and what a URI says of them that is
not so."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
import urllib.parse
from typing import NamedTuple, Optional

from .file_kinds import has_signature, kind_of

_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "text/plain": ".txt",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "application/octet-stream": ".bin",
}


_MEDIA_TYPE = re.compile(r"[\w.+-]{1,127}/[\w.+-]{1,127}\Z", re.ASCII)


class NotADataUri(ValueError):
    """A string that is no data URI; the message reads on from the input's name."""


class DataFile(NamedTuple):
    """What a data URI holds. ``lie`` says what it claims and what it is; None where these agree, or nobody can tell."""

    content: bytes
    extension: str
    lie: Optional[str]


def is_data_uri(value: str) -> bool:
    """Whether the string says that it is one."""
    return value[:5].lower() == "data:"


def read_data_uri(uri: str) -> DataFile:
    """The file in a data URI. Where its bytes are known not to be what it claims, they get their own extension. Raises
    NotADataUri."""
    head, comma, data = uri[5:].partition(",")
    if not comma:
        raise NotADataUri("is not a data URI: the comma before the data is missing")
    parts = head.split(";")
    claimed = parts[0].strip().lower()
    claimed = claimed if _MEDIA_TYPE.match(claimed) else ""
    content = _content(data, parts[-1].strip().lower() == "base64")
    extension = _EXTENSIONS.get(claimed or "text/plain") or mimetypes.guess_extension(claimed) or ""
    kind = kind_of(content)
    if kind is None:
        lie = "claims to be {}, which its bytes are not".format(claimed) if has_signature(claimed) else None
        return DataFile(content, extension, lie)
    if not kind.contradicts(claimed or "text/plain"):
        return DataFile(content, extension or kind.extension, None)
    lie = "claims to be {}, but is {}".format(claimed, kind.media_types[0]) if claimed else None
    return DataFile(content, kind.extension, lie)


def _content(data: str, base64_coded: bool) -> bytes:
    if not base64_coded:
        return urllib.parse.unquote_to_bytes(data)
    text = urllib.parse.unquote(data) if "%" in data else data
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return _forgiving_base64(text)


def _forgiving_base64(text: str) -> bytes:
    """Base64 that is wrapped over lines or lacks its padding:
    https://infra.spec.whatwg.org/#forgiving-base64-decode."""
    text = "".join(text.split())
    if len(text) % 4 == 0:
        text = text[:-2] + text[-2:].rstrip("=")
    try:
        if "=" in text:
            raise ValueError("padding in the wrong place")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise NotADataUri("is not a data URI: its data is not base64") from None
