import time
import urllib.request

from cog import BaseRunner


class Runner(BaseRunner):
    """Runs until a gate, the URL of a server, says that it is open."""

    def run(self, text: str, gate: str) -> str:
        while urllib.request.urlopen(gate).read() != b"open":
            time.sleep(0.05)
        return text
