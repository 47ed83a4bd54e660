from cog import BaseRunner, Path


class Runner(BaseRunner):
    def run(self, text: str, where: str = "/tmp/edgeplane-output-path.txt") -> Path:
        out = Path(where)
        if where != "missing.txt":
            out.write_text(text)
        return out
