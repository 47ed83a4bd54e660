import cog

LONG = "\U0001f600" * 1_000_000


class Runner(cog.BaseRunner):
    @cog.concurrent(max=2)
    async def run(self, how: str) -> str:
        if how == "raise":
            raise ValueError(LONG)
        if how == "print":
            print(LONG)
        if how == "unfinished":
            print(LONG, end="")
        return how
