from cog import BaseRunner, Input


class Runner(BaseRunner):
    def setup(self) -> None:
        self.prefix = "hello "

    def run(self, text: str = Input(description="Whom to greet")) -> str:
        return self.prefix + text
