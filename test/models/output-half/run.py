import io
import os
import tempfile
from typing import Any

from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self, what: str) -> Any:
        folder = tempfile.mkdtemp()
        file = Path(folder) / "made.txt"
        file.write_text("made")
        if what == "nan":
            return {"file": file, "score": float("nan")}
        if what == "missing":
            return [file, Path(folder) / "missing.txt"]
        if what == "handle":
            return [io.BytesIO(b"made"), object()]
        if what == "odd":
            odd = os.fsdecode(b"caf\xe9.txt")
            (file.parent / odd).write_text("odd")
            return [Path(file.parent / odd), open(file.parent / odd, "rb")]
        return [file, "and more"]
