"""A file in, a file out."""

from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(self, file: Path = Input(description="A text file")) -> Path:
        out = Path("shouted.txt")
        out.write_text(file.read_text().upper())
        return out
