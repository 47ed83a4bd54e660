from typing import List, Optional

from cog import BaseRunner, Path
from pydantic import BaseModel


class Inner(BaseModel):
    score: float


class Result(BaseModel):
    name: str
    inner: Inner
    tags: List[str] = []
    file: Optional[Path] = None


class Runner(BaseRunner):
    def run(self, inner: Inner, with_file: bool = False) -> Result:
        file = None
        if with_file:
            file = Path("/tmp/edgeplane-pydantic.txt")
            file.write_text("hello")
        return Result(name="a", inner=Inner(score=inner.score + 1), tags=["x"], file=file)
