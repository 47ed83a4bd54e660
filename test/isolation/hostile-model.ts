/** A model that goes for what isn't its own, and says what it got. */
import type { ModelFiles } from "../integration/pool/pool-process.ts";

const CODE = `
import ctypes
import os
from typing import Any, Callable, Dict, List

from cog import BaseRunner, Input, Path
from edgeplane_child import files

PTRACE_SEIZE = 0x4206
LIBC = ctypes.CDLL(None, use_errno=True)


def read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(1 << 16).decode("latin-1").replace("\\0", " ")


def look(folder: str) -> List[str]:
    found = []
    for path, _, names in os.walk(folder, onerror=lambda error: found.append(type(error).__name__)):
        found += [read(os.path.join(path, name)) for name in names]
    return found


def trace(pid: int) -> str:
    if LIBC.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "traced"


def write(path: str) -> str:
    with open(path, "a") as file:
        file.write("x")
    return "written"


def attempt(what: Callable[[], Any]) -> Any:
    try:
        return what()
    except Exception as error:
        return type(error).__name__


class Runner(BaseRunner):
    def run(self, do: str, pid: int = 0, secret: str = "", folder: str = "", file: Path = Input(default=None)) -> Any:
        if do == "attack":
            return {
                "environment": attempt(lambda: read("/proc/{}/environ".format(pid))),
                "arguments": attempt(lambda: read("/proc/{}/cmdline".format(pid))),
                "memory": attempt(lambda: read("/proc/{}/maps".format(pid))),
                "descriptors": attempt(lambda: os.listdir("/proc/{}/fd".format(pid)) and "listed"),
                "signal": attempt(lambda: os.kill(pid, 0)),
                "trace": attempt(lambda: trace(pid)),
                "secret": attempt(lambda: read(secret)),
                "overwrite": attempt(lambda: write(secret)),
                "folder": attempt(lambda: look(folder)),
            }
        if do == "give":
            return {"$file": secret, "mark": files._MARK}
        if do == "link":
            path = files.new_scratch_path("link")
            os.symlink(secret, path)
            return {"$file": path, "mark": files._MARK}
        if do == "work":
            with open("kept.txt", "a") as kept:
                kept.write("kept")
            with open(os.path.join(os.environ["HOME"], "cached"), "a") as cached:
                cached.write("cached")
            with open("/tmp/out.txt", "w") as out:
                out.write(read(str(file)).upper())
            return Path("/tmp/out.txt")
        if do == "give own":
            return Path("weights.bin")
        return {"secret": os.environ.get("HF_TOKEN")}
`;

export const hostile: ModelFiles = {
  "cog.yaml": "run: run.py:Runner\n",
  "run.py": CODE,
  "weights.bin": "weights",
};
