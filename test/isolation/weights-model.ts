/** A pushed model that goes for the weights that it shares with others, and says what came of each attempt. */

const CODE = `
import ctypes
import hashlib
import os
import subprocess
from typing import Any, Callable, Dict

from cog import BaseRunner, Input

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "deep", "weights")
LIBC = ctypes.CDLL(None, use_errno=True)
MNT_DETACH, MS_REMOUNT, MS_BIND = 2, 32, 4096
UNMOUNT = 'umount "$1"; mount -o remount,bind,rw "$1"; printf spoilt 1<>"$1"'


def write(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b"spoilt")


def create(path: str) -> str:
    with open(path, "wb") as file:
        file.write(b"spoilt")
    return path


def change_mode(path: str) -> None:
    os.chmod(path, 0o666)
    write(path)


def link(path: str) -> None:
    other = os.path.join(os.path.dirname(path), "linked")
    os.link(path, other)
    write(other)


def call(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "mount")


def unmount(path: str) -> None:
    call(LIBC.umount2(path.encode(), MNT_DETACH))
    write(path)


def remount(path: str) -> None:
    call(LIBC.mount(b"none", path.encode(), None, MS_REMOUNT | MS_BIND, None))
    write(path)


def unshare(path: str) -> None:
    subprocess.run(["unshare", "--user", "--mount", "sh", "-c", UNMOUNT, "sh", path], check=True, capture_output=True)


def move_folder(path: str) -> None:
    os.rename(os.path.join(HERE, "deep"), os.path.join(HERE, "moved"))
    os.makedirs(FOLDER)
    create(path)


def attempt(what: Callable[[], Any]) -> str:
    try:
        what()
        return "done"
    except Exception as error:
        return type(error).__name__


def attack(path: str, cache: str, content: str) -> Dict[str, str]:
    return {
        "write": attempt(lambda: write(path)),
        "truncate": attempt(lambda: os.truncate(path, 0)),
        "mode": attempt(lambda: change_mode(path)),
        "link": attempt(lambda: link(path)),
        "unmount": attempt(lambda: unmount(path)),
        "remount": attempt(lambda: remount(path)),
        "unshare": attempt(lambda: unshare(path)),
        "cached": attempt(lambda: change_mode(content)),
        "cached anew": attempt(lambda: os.replace(create(content + ".new"), content)),
        "cache": attempt(lambda: create(os.path.join(cache, "contents", "new"))),
    }


class Runner(BaseRunner):
    def run(self, do: str, cache: str = "", content: str = "") -> Any:
        path = os.path.join(FOLDER, "weights.bin")
        if do == "attack":
            found = [os.path.join(at, "weights.bin") for at, _, names in os.walk(HERE) if "weights.bin" in names]
            return [attack(weights, cache, content) for weights in found]
        if do == "displace":
            return {
                "folder": attempt(lambda: move_folder(path)),
                "replace": attempt(lambda: os.replace(create(os.path.join(FOLDER, "own")), path)),
                "rename": attempt(lambda: os.rename(path, os.path.join(HERE, "renamed"))),
                "delete": attempt(lambda: os.unlink(path)),
            }
        if do == "die":
            os._exit(1)
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
`;

export const weightsModel = (weights: Buffer, more: Record<string, string> = {}) => ({
  "cog.yaml": "run: run.py:Runner\n",
  "run.py": CODE,
  "deep/weights/weights.bin": weights,
  ...more,
});
