from cog import BaseRunner
from cog.coder import Coder


class Celsius:
    def __init__(self, degrees):
        self.degrees = degrees


class CelsiusCoder(Coder):
    @staticmethod
    def factory(tpe):
        return CelsiusCoder() if tpe is Celsius else None

    def encode(self, x):
        return {"degrees": x.degrees}

    def decode(self, x):
        return Celsius(x["degrees"])


Coder.register(CelsiusCoder)


class Runner(BaseRunner):
    def run(self, value: Celsius) -> Celsius:
        return Celsius(value.degrees + 1)
