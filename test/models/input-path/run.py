from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(self, file: Path = Input(description="A file")) -> str:
        assert isinstance(file, Path)
        return "{} {}".format(file.suffix, file.read_text())
