from cog import BaseRunner


class Odd(Exception):
    def __str__(self):
        raise ValueError("no words")


def deep():
    raise ValueError("went wrong: ü")


class Runner(BaseRunner):
    def run(self, how: str) -> str:
        if how == "value":
            deep()
        if how == "empty":
            raise RuntimeError
        if how == "key":
            return {}["missing"]
        if how == "odd":
            raise Odd
        if how == "recursion":
            return self.run(how)
        if how == "interrupt":
            raise KeyboardInterrupt
        if how == "stop":
            raise StopIteration("enough")
        return "fine"
