import tempfile
from typing import List

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self) -> List[Path]:
        folder = Path(tempfile.mkdtemp())
        made = []
        for index in range(3):
            path = folder / "out-{}.json".format(index)
            path.write_text(str(index))
            made.append(path)
        return made
