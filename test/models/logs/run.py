import ctypes
import os
import subprocess
import sys
import threading

from cog import BaseRunner

libc = ctypes.CDLL(None)
print("printed at import")


class Runner(BaseRunner):
    def setup(self) -> None:
        print("printed in setup")

    def run(self, text: str) -> str:
        print("python", text)
        print("stderr", text, file=sys.stderr)
        libc.printf(b"printf %s\n", text.encode())
        libc.printf(b"no newline %s", text.encode())
        libc.fflush(None)
        print()
        os.write(1, b"os.write " + text.encode() + b"\n")
        subprocess.run(["sh", "-c", "echo subprocess {0}; echo to stderr {0} >&2".format(text)], check=True)
        os.system("echo system " + text)
        thread = threading.Thread(target=print, args=("thread", text))
        thread.start()
        thread.join()
        sys.stdout.write("last without newline " + text)
        return text
