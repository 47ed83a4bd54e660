import subprocess

from cog import BaseRunner


class Runner(BaseRunner):
    def setup(self) -> None:
        self.cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        subprocess.Popen(["sh", "-c", "(sleep 30 &) ; exit 0"])

    def run(self, text: str) -> str:
        self.cat.stdin.write(text.encode() + b"\n")
        self.cat.stdin.flush()
        return self.cat.stdout.readline().decode().strip()
