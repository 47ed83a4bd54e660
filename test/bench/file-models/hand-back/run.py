"""Hands back the file that it got, by its own name: what it costs is the way to the model and back."""

import tempfile

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self, file: Path) -> Path:
        return Path(file.rename(Path(tempfile.mkdtemp()) / "back.bin"))
