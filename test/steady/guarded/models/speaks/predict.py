import os
import random
import time

from cog import BasePredictor, ConcatenateIterator, Input

CONSONANTS = "bcdfghjklm"


def word(number: int) -> str:
    """The same as `wordOf` in guarded/words.ts: no input has to have it."""
    return "".join(CONSONANTS[int(digit)] + "a" for digit in f"{number:05d}") + "x"


class Predictor(BasePredictor):
    """Says a sentence with a word of the lists in it, in chunks of any length."""

    def predict(
        self,
        before: str,
        after: str,
        number: int = Input(default=-1),
        dotted: bool = Input(default=False),
        logs: bool = Input(default=False),
    ) -> ConcatenateIterator[str]:
        said = word(number) if number >= 0 else ""
        print("on host " + os.environ.get("STEADY_HOST", ""))
        text = before + (".".join(said) if dotted else said) + after
        if logs:
            print(text)
            text = before + after
        at = 0
        while at < len(text):
            length = random.randint(1, 4)
            time.sleep(0.003)
            yield text[at : at + length]
            at += length
