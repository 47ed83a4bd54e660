import os
import time
from typing import Any

from cog import BaseRunner


class Runner(BaseRunner):
    """Flags "forbidden"; dies, sleeps or talks nonsense where a text has it so."""

    def run(self, text: str) -> Any:
        if "crash" in text:
            os._exit(7)
        if "nonsense" in text:
            return {"verdict": "who knows"}
        if "slow" in text:
            time.sleep(5)
        flagged = "forbidden" in text
        return {"flagged": flagged, "categories": {"forbidden-word": flagged}}
