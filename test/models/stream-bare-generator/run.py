from cog import BaseRunner


class Runner(BaseRunner):
    def run(self):
        yield 1
        yield 2
