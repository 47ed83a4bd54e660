from __future__ import annotations

from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(
        self,
        text: str | None = None,
        paths: list[Path] | None = Input(default=None),
        counts: dict[str, int] | None = None,
    ) -> str:
        return "{} {} {}".format(text, [path.read_text() for path in paths or []], counts)
