from cog import BaseRunner, Input


class Runner(BaseRunner):
    def run(
        self,
        style: str = Input(choices=["fast", "good"], default="fast"),
        size: int = Input(choices=[256, 512], default=256),
    ) -> str:
        return "{}-{}".format(style, size)
