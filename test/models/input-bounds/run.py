from cog import BaseRunner, Input


class Runner(BaseRunner):
    def run(
        self,
        steps: int = Input(description="Steps", ge=1, le=10, default=5),
        scale: float = Input(ge=0, le=2.5, default=1.0),
    ) -> float:
        return steps * scale
