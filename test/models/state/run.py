from cog import BaseRunner

SEEN = []


class Runner(BaseRunner):
    def run(self, item: str) -> str:
        SEEN.append(item)
        return ",".join(SEEN)
