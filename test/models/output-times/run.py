import collections
import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Any, Dict, List, Optional

from cog import BaseModel, BaseRunner

DAY = datetime.date(2025, 1, 15)
ZONE = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))


class Sheet(enum.Enum):
    FIRST = DAY


@dataclasses.dataclass
class Stamp:
    at: datetime.time


class Given:
    def dict(self):
        return {"on": DAY}


class Result(BaseModel):
    at: datetime.datetime
    on: datetime.date
    clock: datetime.time
    took: List[datetime.timedelta]
    price: decimal.Decimal
    id: uuid.UUID
    until: Optional[datetime.date]
    by_name: Dict[str, datetime.date]
    rest: Any


class Runner(BaseRunner):
    def run(self) -> Result:
        return Result(
            at=datetime.datetime(2025, 1, 15, 10, 30, 1, 500, tzinfo=ZONE),
            on=DAY,
            clock=datetime.time(10, 30),
            took=[
                datetime.timedelta(days=2, hours=3, minutes=4, seconds=5, microseconds=600),
                datetime.timedelta(0),
                datetime.timedelta(minutes=-90),
                datetime.timedelta(days=7),
                datetime.timedelta(milliseconds=250),
            ],
            price=decimal.Decimal("1.10"),
            id=uuid.UUID(int=7),
            until=None,
            by_name={"a": DAY},
            rest=[Sheet.FIRST, Stamp(datetime.time(1, 2, 3)), Given(), {DAY}, (day for day in [DAY]), collections.deque([DAY]), {"a": DAY}.values(), range(2)],
        )
