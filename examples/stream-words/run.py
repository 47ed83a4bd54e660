import time

from cog import BaseRunner, ConcatenateIterator, Input, streaming


class Runner(BaseRunner):
    @streaming
    def run(
        self,
        text: str = Input(description="The text to say word by word"),
        delay_ms: int = Input(description="Pause before each word, in milliseconds", default=20, ge=0, le=5000),
    ) -> ConcatenateIterator[str]:
        words = text.split(" ")
        self.record_metric("words", len(words))
        for index, word in enumerate(words):
            time.sleep(delay_ms / 1000)
            yield word if index == 0 else " " + word
