import enum

from typing import Literal

from cog import BaseRunner


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Runner(BaseRunner):
    def run(self, mode: Literal["a", "b"] = "a", color: Color = Color.RED) -> str:
        return mode + " " + color.name
