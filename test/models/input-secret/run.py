from cog import BaseRunner, Input, Secret


class Runner(BaseRunner):
    def run(self, token: Secret, other: Secret = Input(default=None)) -> str:
        print(token, repr(token), other)
        return token.get_secret_value()[::-1]
