from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.healthy = True

    def healthcheck(self) -> bool:
        if self.healthy is None:
            raise RuntimeError("the card fell off the bus")
        return self.healthy

    def run(self, healthy: str) -> None:
        self.healthy = {"yes": True, "no": False, "raise": None}[healthy]
