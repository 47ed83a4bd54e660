import os
import signal
import sys

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, how: str) -> str:
        pid = os.fork()
        if pid == 0:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "raises":
                raise RuntimeError("in the fork")
            if how == "exits":
                sys.exit(3)
            return "from the fork"
        os.waitpid(pid, 0)
        return "from the parent"
