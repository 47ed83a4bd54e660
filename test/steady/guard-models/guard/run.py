import os
import re
import time
import urllib.request
from typing import Any

from cog import BaseRunner


class Runner(BaseRunner):
    """Flags "forbidden"; dies, sleeps, waits for a gate or talks nonsense where a text has it so."""

    def run(self, text: str) -> Any:
        if "crash" in text:
            os._exit(7)
        if "nonsense" in text:
            return {"verdict": "who knows"}
        if "slow" in text:
            time.sleep(5)
        gate = re.search(r"once (http://\S+)", text)
        while gate is not None and urllib.request.urlopen(gate.group(1)).read() != b"open":
            time.sleep(0.05)
        flagged = "forbidden" in text
        return {"flagged": flagged, "categories": {"forbidden-word": flagged}}
