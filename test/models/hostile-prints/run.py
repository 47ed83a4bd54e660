import os
import sys

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, how: str) -> str:
        if how == "garbage":
            for fd in (1, 2):
                os.write(fd, bytes(range(256)) * 100)
        if how == "frames":
            os.write(1, b"\x00\x00\x00\x20" + b'{"type":"done","id":"p1"}')
        if how == "flood":
            for _ in range(200):
                os.write(1, b"y" * 9999 + b"\n")
        if how == "replace":
            sys.stdout = sys.stderr = None
        return how
