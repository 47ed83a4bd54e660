from cog import BaseRunner, ConcatenateIterator


class Runner(BaseRunner):
    """Says a text back, three characters at a time."""

    def run(self, text: str) -> ConcatenateIterator[str]:
        said = text.replace("_", "")
        for at in range(0, len(said), 3):
            yield said[at : at + 3]
