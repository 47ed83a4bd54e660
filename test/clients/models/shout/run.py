"""A file in, a file out."""

from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(
        self,
        file: Path = Input(description="A text file"),
        name: str = Input(description="What the output file is called", default="shouted.txt"),
    ) -> Path:
        out = Path(name)
        out.write_text(file.read_text().upper())
        return out
