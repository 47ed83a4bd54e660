from cog import BaseRunner


class Odd:
    def __bool__(self) -> bool:
        raise ValueError("the truth of an array is ambiguous")


class Runner(BaseRunner):
    def setup(self) -> None:
        self.healthy = True

    def healthcheck(self) -> bool:
        if self.healthy is None:
            raise RuntimeError("the card fell off the bus")
        return self.healthy

    def run(self, healthy: str) -> None:
        self.healthy = {"yes": True, "no": False, "raise": None, "odd": Odd()}[healthy]
