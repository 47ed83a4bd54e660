import os
import sys

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, how: str) -> str:
        if how == "streams":
            sys.stdout.close()
            sys.stderr.close()
        if how == "descriptors":
            os.close(1)
            os.close(2)
            print("lost")
        if how == "forgets":
            os.environ.clear()
        if how == "after":
            print("heard again")
        return how
