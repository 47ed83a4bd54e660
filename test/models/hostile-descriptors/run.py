import os

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, how: str) -> str:
        if how == "write":
            written = 0
            for fd in range(3, 64):
                try:
                    written += os.write(fd, b"\x00\x00\x00\x02{}")
                except OSError:
                    pass
            return "wrote to {}".format(written)
        if how == "closerange":
            os.closerange(3, 256)
        return how
