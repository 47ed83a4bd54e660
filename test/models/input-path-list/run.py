from typing import List, Optional

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self, files: List[Path], more: Optional[List[Path]] = None) -> str:
        return ",".join(file.read_text() for file in files + (more or []))
