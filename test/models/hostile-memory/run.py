from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, much: bool = False) -> str:
        if much:
            held = []
            while True:
                held.append(bytearray(64 * 1024 * 1024))
        return "fine"
