"""What kind of file bytes are, by the signatures that formats begin with. Pure.

Sources: the formats' specifications; https://mimesniff.spec.whatwg.org section 6 for images, audio and video.
"""

from __future__ import annotations

from typing import Callable, FrozenSet, NamedTuple, Optional, Tuple

#: So many bytes of a file's beginning tell its kind.
HEAD_BYTES = 64
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_TEXTUAL = frozenset(("application/json", "application/x-ndjson", "application/jsonl", "application/xml", "application/yaml", "application/javascript"))
_MEDIA = ("text", "image", "audio", "video")


class Kind(NamedTuple):
    """A kind of file. ``media_types`` begins with its usual name; ``holds`` are families of media types whose formats
    may be wrapped in it."""

    extension: str
    media_types: Tuple[str, ...]
    matches: Callable[[bytes], bool]
    holds: FrozenSet[str] = frozenset()

    def contradicts(self, claimed: str) -> bool:
        """Whether a file of this kind can't be of the media type ``claimed``."""
        if claimed in self.media_types or claimed == "application/octet-stream":
            return False
        if claimed in _KNOWN or claimed in _TEXTUAL:
            return True
        family = claimed.split("/")[0]
        return family in _MEDIA and family not in self.holds


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """ISO base media: a box ``ftyp`` first, whose major brand begins with one of these."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12].startswith(brands)


def _is_bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BMP_HEADERS


def _is_mp3(head: bytes) -> bool:
    """An ID3v2 tag, or the header of an MPEG audio frame of layer III with a bit rate and a sampling rate."""
    if head[:3] == b"ID3":
        return 2 <= int.from_bytes(head[3:4], "big") <= 4
    return len(head) >= 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08 and head[2] >> 4 != 15 and head[2] & 0x0C != 0x0C


def _ebml(doctype: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"\x1a\x45\xdf\xa3" and doctype in head[:HEAD_BYTES]


_KINDS = (
    Kind(".png", ("image/png", "image/x-png", "image/apng"), _starts(b"\x89PNG\r\n\x1a\n")),
    Kind(".jpg", ("image/jpeg", "image/jpg", "image/pjpeg"), _starts(b"\xff\xd8\xff")),
    Kind(".gif", ("image/gif",), _starts(b"GIF87a", b"GIF89a")),
    Kind(".webp", ("image/webp",), _riff(b"WEBP")),
    Kind(".bmp", ("image/bmp", "image/x-bmp", "image/x-ms-bmp"), _is_bmp),
    Kind(".tiff", ("image/tiff", "image/x-tiff"), _starts(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), frozenset(("image",))),
    Kind(".avif", ("image/avif", "image/avif-sequence"), _brand(b"avif", b"avis")),
    Kind(".heic", ("image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence", "image/avif"), _brand(b"hei", b"hevc", b"mif1", b"msf1")),
    Kind(".wav", ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), _riff(b"WAVE")),
    Kind(".mp3", ("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3", "audio/x-mpeg"), _is_mp3),
    Kind(".flac", ("audio/flac", "audio/x-flac"), _starts(b"fLaC")),
    Kind(".ogg", ("audio/ogg", "video/ogg", "application/ogg", "audio/opus", "audio/vorbis"), _starts(b"OggS\x00"), frozenset(("audio", "video"))),
    Kind(".m4a", ("audio/mp4", "audio/m4a", "audio/x-m4a", "audio/aac", "video/mp4"), _brand(b"M4A", b"M4B")),
    Kind(".mov", ("video/quicktime",), _brand(b"qt  ")),
    Kind(".mp4", ("video/mp4", "audio/mp4", "video/x-m4v", "video/3gpp"), _brand(b""), frozenset(("audio", "video", "image"))),
    Kind(".webm", ("video/webm", "audio/webm", "video/x-matroska"), _ebml(b"webm")),
    Kind(".mkv", ("video/x-matroska", "audio/x-matroska", "video/matroska"), _ebml(b"matroska"), frozenset(("audio", "video"))),
    Kind(".avi", ("video/x-msvideo", "video/avi", "video/msvideo", "video/vnd.avi"), _riff(b"AVI ")),
    Kind(".pdf", ("application/pdf", "application/x-pdf"), _starts(b"%PDF-")),
    Kind(".zip", ("application/zip", "application/x-zip-compressed"), _starts(b"PK\x03\x04", b"PK\x05\x06")),
    Kind(".gz", ("application/gzip", "application/x-gzip", "image/svg+xml"), _starts(b"\x1f\x8b\x08")),
)
_KNOWN = frozenset(media_type for kind in _KINDS for media_type in kind.media_types) - {"image/svg+xml"}


def kind_of(content: bytes) -> Optional[Kind]:
    """The kind that the bytes show; None where no signature of the table does. Text shows none."""
    head = content[:HEAD_BYTES]
    return next((kind for kind in _KINDS if kind.matches(head)), None)


def has_signature(media_type: str) -> bool:
    """Whether every file of this media type begins with a signature of the table: one without it is something else."""
    return any(media_type == kind.media_types[0] and not kind.holds and kind.extension not in (".mp3", ".m4a") for kind in _KINDS)
