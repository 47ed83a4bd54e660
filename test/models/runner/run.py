from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, a: int, b: int = 2) -> int:
        return a * b
