from cog import BaseRunner, ConcatenateIterator, streaming


class Runner(BaseRunner):
    @streaming
    def run(self, fail: bool = False) -> ConcatenateIterator[str]:
        yield "The "
        yield "quick"
        if fail:
            raise ValueError("out of words")
        yield " fox"
