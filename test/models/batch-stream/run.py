from typing import List

from cog import BaseRunner, ConcatenateIterator


class Runner(BaseRunner):
    def run(self, words: int, fail_at: int = -1) -> ConcatenateIterator[str]:
        for index in range(words):
            yield "{} ".format(index)

    def run_batch(self, inputs):
        for index in range(max(item.words for item in inputs) + 1):
            step = []
            for item in inputs:
                if index == item.fail_at:
                    step.append(ValueError("failed at {}".format(index)))
                elif index < item.words:
                    step.append("{} ".format(index))
                else:
                    step.append(StopIteration() if index == item.words else None)
            yield step
