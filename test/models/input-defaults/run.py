from typing import List, Optional

from cog import BaseRunner, Input


class Runner(BaseRunner):
    def run(
        self,
        seed: int = Input(description="Leave blank for any", default=None),
        text: Optional[str] = Input(description="Optional", deprecated=True),
        bare: Optional[str] = None,
        tags: List[str] = Input(default=["a"]),
    ) -> dict:
        tags.append("b")
        return {"seed": seed, "text": text, "bare": bare, "tags": tags}
