from typing import Dict, List, Optional

from cog import BaseRunner

try:
    from typing import TypedDict
except ImportError:
    from typing_extensions import TypedDict


class Payload(TypedDict):
    name: str
    count: int


class Runner(BaseRunner):
    def run(self, data: Payload, params: dict, limits: Dict[str, float], items: Optional[List[Payload]] = None) -> str:
        return "{}:{} {} {} {}".format(data["name"], data["count"], params, limits, len(items or []))
