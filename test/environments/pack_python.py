"""Packs the Python that runs this as uv's downloads are packed (python-build-standalone's install_only), with the list
that uv reads.

    python pack_python.py FOLDER
"""

import json
import os
import pathlib
import platform
import sys
import sysconfig
import tarfile

LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"}


def main() -> None:
    folder = pathlib.Path(sys.argv[1]).resolve()
    minor = "{}.{}".format(*sys.version_info[:2])
    archive = folder / "python.tar.gz"

    def kept(member):
        parts = member.name.split("/")
        # Debian's lead into /etc, and uv unpacks no link that leaves the archive.
        if member.issym() and member.linkname.startswith("/"):
            return None
        return None if LEFT_OUT.intersection(parts) or any(part.startswith("config-") for part in parts) else member

    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(os.path.realpath(sys.executable), "python/bin/python" + minor)
        for name in ("python3", "python"):
            link = tarfile.TarInfo("python/bin/" + name)
            link.type, link.linkname = tarfile.SYMTYPE, "python" + minor
            tar.addfile(link)
        tar.add(sysconfig.get_path("stdlib"), "python/lib/python" + minor, filter=kept)
    download = {
        "name": "cpython",
        "arch": {"family": platform.machine(), "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": sys.version_info[0],
        "minor": sys.version_info[1],
        "patch": sys.version_info[2],
        "prerelease": "",
        "url": archive.as_uri(),
        "sha256": None,
        "variant": None,
        "build": "20260101",
    }
    name = "cpython-{}-linux-{}-gnu".format(platform.python_version(), platform.machine())
    (folder / "downloads.json").write_text(json.dumps({name: download}))
    print(minor)


main()
