import datetime
import decimal
import uuid
from typing import Any, List, Optional, Union

from cog import BaseModel, BaseRunner, Input

START = datetime.date(2025, 1, 1)


class Event(BaseModel):
    at: Optional[datetime.datetime] = None
    what: Union[str, datetime.date] = ""


class Runner(BaseRunner):
    def run(
        self,
        at: List[datetime.datetime] = Input(default=[]),
        on: datetime.date = Input(default=START, ge=START),
        clock: List[datetime.time] = Input(default=[]),
        took: List[datetime.timedelta] = Input(default=[]),
        price: decimal.Decimal = Input(default=decimal.Decimal("0.5"), ge=0, le=decimal.Decimal("9.5")),
        id: uuid.UUID = Input(default="00000000-0000-0000-0000-000000000007"),
        kind: datetime.date = Input(default=START, choices=[START, datetime.date(2025, 2, 1)]),
        event: Event = None,
    ) -> Any:
        seconds = [one.total_seconds() for one in took]
        kinds = [type(one).__name__ for one in (on, price, id, kind)]
        what = None if event is None else [event.at, event.what, type(event.what).__name__]
        return [at, on, clock, seconds, price, id, kind, kinds, what]
