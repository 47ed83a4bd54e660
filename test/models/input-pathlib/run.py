import pathlib

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, file: pathlib.Path) -> str:
        return file.read_text()
