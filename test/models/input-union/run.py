from typing import Union

from cog import BaseRunner, Input


class Runner(BaseRunner):
    def run(self, value: Union[str, float, None] = Input(default=None)) -> str:
        return "{}:{}".format(type(value).__name__, value)
