import os
import time

from cog import BasePredictor, Input

CONSONANTS = "bcdfghjklm"


def word(number: int) -> str:
    """The same as `wordOf` in guarded/words.ts: no input has to have it."""
    return "".join(CONSONANTS[int(digit)] + "a" for digit in f"{number:05d}") + "x"


class Predictor(BasePredictor):
    """Says a sentence with a word of the lists in it, or on which host it is."""

    def predict(
        self,
        before: str = Input(default=""),
        after: str = Input(default=""),
        number: int = Input(default=-1),
        seconds: float = Input(default=0.02),
    ) -> str:
        time.sleep(seconds)
        said = word(number) if number >= 0 else os.environ.get("STEADY_HOST", "")
        return before + said + after
