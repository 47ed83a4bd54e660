import collections
import dataclasses
import enum
from typing import Dict, List

from cog import BaseModel, BaseRunner


class Kind(enum.Enum):
    A = "a"


class Inner(BaseModel):
    values: List[float]


class Outer(BaseModel):
    inner: Inner
    table: Dict[str, List[Inner]]


@dataclasses.dataclass
class Plain:
    kind: Kind


Pair = collections.namedtuple("Pair", "a b")


class Runner(BaseRunner):
    def run(self) -> Outer:
        made = Outer(inner=Inner(values=[1.0]), table={"x": [Inner(values=[])]})
        made.table["y"] = [Plain(Kind.A), Pair(1, {2}), (3, 4)]
        return made
