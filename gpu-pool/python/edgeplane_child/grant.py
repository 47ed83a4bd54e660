"""Lets a model's own user read its folder and write new files into it: ``python grant.py UID FOLDER [SKIPPED...]``.

The pool runs it as root. It adds one entry to the access list of each folder, and of each file that others may not
read; who owns them stays as it is. A process of the model may change the folder meanwhile: what is granted is the open
file that was looked at, and no link is followed. POSIX access lists as Linux stores them: linux/posix_acl_xattr.h.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from typing import List, Tuple

_ACCESS = "system.posix_acl_access"
_DEFAULT = "system.posix_acl_default"
_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_ENTRY = struct.Struct("<HHI")

Entry = Tuple[int, int, int]


def _read(file: int, name: str) -> List[Entry]:
    try:
        raw = os.getxattr(file, name)
    except OSError:
        mode = os.fstat(file).st_mode
        return [(_USER_OBJ, mode >> 6 & 7, _NOBODY), (_GROUP_OBJ, mode >> 3 & 7, _NOBODY), (_OTHER, mode & 7, _NOBODY)]
    return [(tag, rights, who) for tag, rights, who in _ENTRY.iter_unpack(raw[4:])]


def _add(file: int, name: str, uid: int, rights: int) -> None:
    before = _read(file, name)
    entries = [entry for entry in before if entry[0] != _MASK and not (entry[0] == _USER and entry[2] == uid)]
    entries.append((_USER, rights, uid))
    mask = 0
    for tag, given, _ in entries:
        if tag in (_USER, _GROUP_OBJ, 0x08):
            mask |= given
    entries.append((_MASK, mask, _NOBODY))
    entries.sort(key=lambda entry: (entry[0], entry[2]))
    if sorted(before, key=lambda entry: (entry[0], entry[2])) == entries:
        return
    os.setxattr(file, name, struct.pack("<I", _VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries))


def _is_closed(info: os.stat_result, uid: int) -> bool:
    """Whether it is a file of one name that neither the user owns nor others may read."""
    return stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and info.st_uid != uid and not info.st_mode & stat.S_IROTH


def _grant_file(name: str, folder: int, uid: int) -> None:
    try:
        # What is no file isn't even opened: a device may act on that.
        if not _is_closed(os.stat(name, dir_fd=folder, follow_symlinks=False), uid):
            return
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return
        raise
    try:
        if _is_closed(os.fstat(file), uid):
            _add(file, _ACCESS, uid, 4)
    finally:
        os.close(file)


def grant(uid: int, folder: str, skipped: List[str]) -> None:
    """Grant a folder with all below it."""
    top = os.path.realpath(folder)
    for path, folders, files, opened in os.fwalk(top):
        below = os.path.relpath(path, top)
        folders[:] = [name for name in folders if os.path.normpath(os.path.join(folder, below, name)) not in skipped]
        if os.fstat(opened).st_uid != uid:
            _add(opened, _ACCESS, uid, 7)
            _add(opened, _DEFAULT, uid, 7)
        for name in files:
            _grant_file(name, opened, uid)


if __name__ == "__main__":
    try:
        grant(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    except OSError as error:
        sys.exit(str(error))
