import datetime
import decimal
import uuid
from typing import List

from cog import BaseRunner, Path
from pydantic import BaseModel, SecretStr


class Part(BaseModel):
    on: datetime.date
    took: datetime.timedelta = datetime.timedelta(seconds=90)


class Result(BaseModel):
    at: datetime.datetime
    price: decimal.Decimal
    id: uuid.UUID
    parts: List[Part]
    file: Path
    key: str = ""

    class Config:
        extra = "allow"


class Runner(BaseRunner):
    def run(self) -> Result:
        file = Path("/tmp/edgeplane-pydantic-dump.txt")
        file.write_text("hello")
        return Result(
            at="2025-01-15T10:30:00Z",
            price="1.10",
            id=uuid.UUID(int=7),
            parts=[Part(on="2025-01-15")],
            file=file,
            more=SecretStr("secret"),
        )
