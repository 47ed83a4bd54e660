from typing import List, Union

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, text: Union[str, List[str]], number: Union[bool, int, float] = 1) -> str:
        return "{!r} {!r}".format(text, number)
