from typing import Any

import numpy
from cog import BaseRunner


class Runner(BaseRunner):
    def run(self) -> Any:
        return {
            "scalars": [numpy.float32(0.5), numpy.int64(7), numpy.bool_(True), numpy.float16(1.5)],
            "array": numpy.arange(4).reshape(2, 2),
            "times": numpy.array(["2025-01-15T10:30:00", "2025-01-16"], dtype="datetime64[ns]"),
            "time": numpy.datetime64("2025-01-15T10:30:00.5"),
        }
