"""Lets a model's own user read its folder and write new files into it: ``python -m edgeplane_child.grant UID FOLDER [SKIPPED...]``.

The pool runs it as root. It adds one entry to the access list of each folder, and of each file that others may not read; who owns
them stays as it is. Links are not followed. POSIX access lists as Linux stores them: linux/posix_acl_xattr.h.
"""

from __future__ import annotations

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


def _read(path: str, name: str) -> List[Entry]:
    try:
        raw = os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        mode = os.lstat(path).st_mode
        return [(_USER_OBJ, mode >> 6 & 7, _NOBODY), (_GROUP_OBJ, mode >> 3 & 7, _NOBODY), (_OTHER, mode & 7, _NOBODY)]
    return [(tag, rights, who) for tag, rights, who in _ENTRY.iter_unpack(raw[4:])]


def _add(path: str, name: str, uid: int, rights: int) -> None:
    before = _read(path, name)
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
    os.setxattr(path, name, struct.pack("<I", _VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries))


def grant(uid: int, folder: str, skipped: List[str]) -> None:
    """Grant a folder with all below it."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(path, name) not in skipped and not os.path.islink(os.path.join(path, name))]
        if os.lstat(path).st_uid != uid:
            _add(path, _ACCESS, uid, 7)
            _add(path, _DEFAULT, uid, 7)
        for name in files:
            file = os.path.join(path, name)
            info = os.lstat(file)
            closed = not info.st_mode & stat.S_IROTH and info.st_uid != uid
            if closed and stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
                _add(file, _ACCESS, uid, 4)


if __name__ == "__main__":
    try:
        grant(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    except OSError as error:
        sys.exit(str(error))
