from cog import BaseRunner, Input


class Runner(BaseRunner):
    def run(self, name: str = Input(min_length=2, max_length=5, regex="^[a-z]+$")) -> str:
        return name
