from cog import BaseRunner, File


class Runner(BaseRunner):
    def run(self, file: File) -> int:
        return len(file.read())
