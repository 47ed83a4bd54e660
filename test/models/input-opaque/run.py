from typing import Annotated, List

from cog import BaseRunner, Opaque


class FromElsewhere:
    pass


class Runner(BaseRunner):
    def run(self, messages: Annotated[List[FromElsewhere], Opaque], one: Annotated[FromElsewhere, Opaque]) -> str:
        return "{} {}".format(messages, one)
