from __future__ import annotations

from typing import Optional

from cog import BaseModel, BaseRunner, Input


class Output(BaseModel):
    text: str
    score: Optional[float]


class Runner(BaseRunner):
    def run(self, text: Optional[str] = Input(description="Text")) -> Output:
        return Output(text=text or "nothing")
