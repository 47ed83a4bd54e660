from cog import BaseRunner


class Thing:
    pass


class Runner(BaseRunner):
    def run(self, thing: Thing) -> str:
        return "never"
