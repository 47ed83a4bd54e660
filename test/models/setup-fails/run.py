from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        print("about to fail")
        raise RuntimeError("the weights are not there")

    def run(self) -> str:
        return "never"
