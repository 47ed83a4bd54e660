from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, how: str) -> str:
        if how == "writes":
            with open("/dev/full", "w") as file:
                file.write("more than fits")
        if how == "wraps":
            try:
                self.run("writes")
            except OSError as error:
                raise RuntimeError("the weights could not be saved") from error
        if how == "says":
            raise ValueError("[Errno 28] No space left on device")
        return how
