from typing import TypedDict

from cog import BaseRunner


class Output(TypedDict, total=False):
    name: str
    count: int


class Runner(BaseRunner):
    def run(self) -> Output:
        return {"name": "alice"}
