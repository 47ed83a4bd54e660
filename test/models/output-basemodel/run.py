from typing import List, Optional

from cog import BaseModel, BaseRunner


class Result(BaseModel):
    name: str
    count: int
    score: float
    passed: bool
    tags: List[str]
    note: Optional[str]
    extra: Optional[str] = None


class Runner(BaseRunner):
    def run(self, name: str) -> Result:
        if name == "bad":
            return Result(nam=name)
        return Result(name=name, count=42, score=0.95, passed=True, tags=["fast"], note="x")
