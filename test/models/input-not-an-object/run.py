from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, text: str = "x") -> str:
        return text
