from typing import List

from cog import BaseModel, BaseRunner


class Point(BaseModel):
    x: float
    label: str = "none"


class Runner(BaseRunner):
    def run(self, points: List[Point]) -> List[Point]:
        return [Point(x=point.x + 1, label=point.label) for point in points]
