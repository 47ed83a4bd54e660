import io
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
        return [file, "and more"]
