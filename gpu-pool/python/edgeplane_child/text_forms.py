"""Values of the standard library that cross the border as text: the form in which JSON carries each, and what is read
from it.

Sources of the forms: ISO 8601 as RFC 3339 (dates, times, durations in its appendix A), RFC 9562 (UUID), Python's
``decimal``. The names of the formats are those of JSON Schema and of OpenAPI's format registry.
"""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?"
_DATES = re.compile(_DATE, re.ASCII)
_TIMES = re.compile(_TIME, re.ASCII | re.IGNORECASE)
_DATETIMES = re.compile(_DATE + r"(?:[T ]" + _TIME + r")?", re.ASCII | re.IGNORECASE)
_AMOUNT = r"(\d+(?:[.,]\d+)?)"
_DURATIONS = re.compile(
    r"([+-])?P(?=.)(?:{0}W)?(?:{0}D)?(?:T(?=.)(?:{0}H)?(?:{0}M)?(?:{0}S)?)?".format(_AMOUNT), re.ASCII | re.IGNORECASE
)


class TextForm(NamedTuple):
    """One class. ``give`` makes the text, ``take`` the value and raises ValueError; ``expected`` reads on from "must
    be"."""

    kind: str
    cls: type
    format: str
    expected: str
    give: Callable[[Any], str]
    take: Callable[[str], Any]


def _match(pattern: "re.Pattern[str]", text: str) -> Tuple[Any, ...]:
    match = pattern.fullmatch(text.strip())
    if match is None:
        raise ValueError("another form")
    return match.groups()


def _zone(text: Optional[str]) -> Optional[datetime.tzinfo]:
    if text is None:
        return None
    if text in "Zz":
        return datetime.timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return datetime.timezone(-offset if text[0] == "-" else offset)


def _clock(hour: str, minute: str, second: Optional[str], fraction: Optional[str], zone: Optional[str]) -> datetime.time:
    microsecond = int((fraction or "").ljust(6, "0")[:6])
    return datetime.time(int(hour), int(minute), int(second or 0), microsecond, _zone(zone))


def _take_date(text: str) -> datetime.date:
    return datetime.date(*map(int, _match(_DATES, text)))


def _take_time(text: str) -> datetime.time:
    return _clock(*_match(_TIMES, text))


def _take_datetime(text: str) -> datetime.datetime:
    parts = _match(_DATETIMES, text)
    time = datetime.time() if parts[3] is None else _clock(*parts[3:])
    return datetime.datetime.combine(datetime.date(*map(int, parts[:3])), time)


def _give_duration(value: datetime.timedelta) -> str:
    if value < datetime.timedelta(0):
        return "-" + _give_duration(-value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = ".{:06d}".format(value.microseconds).rstrip("0") if value.microseconds else ""
    parts = ((hours, "", "H"), (minutes, "", "M"), (seconds, fraction, "S"))
    time = "".join("{}{}{}".format(count, rest, unit) for count, rest, unit in parts if count or rest)
    days = "{}D".format(value.days) if value.days else ""
    return "P{}{}".format(days, "T" + time if time else "") if days or time else "PT0S"


def _take_duration(text: str) -> datetime.timedelta:
    sign, *amounts = _match(_DURATIONS, text)
    weeks, days, hours, minutes, seconds = (float(amount.replace(",", ".")) if amount else 0 for amount in amounts)
    try:
        value = datetime.timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError as error:
        raise ValueError(str(error)) from None
    return -value if sign == "-" else value


def _take_decimal(text: str) -> decimal.Decimal:
    try:
        value = decimal.Decimal(text.strip())
    except decimal.InvalidOperation:
        raise ValueError("not a number") from None
    if not value.is_finite():
        raise ValueError("not a finite number")
    return value


_FORMS = (
    TextForm("datetime", datetime.datetime, "date-time", "a date with a time, such as 2025-01-31T12:30:00Z", datetime.datetime.isoformat, _take_datetime),
    TextForm("date", datetime.date, "date", "a date, such as 2025-01-31", datetime.date.isoformat, _take_date),
    TextForm("time", datetime.time, "time", "a time, such as 12:30:00", datetime.time.isoformat, _take_time),
    TextForm("duration", datetime.timedelta, "duration", "a duration, such as PT1H30M", _give_duration, _take_duration),
    TextForm("decimal", decimal.Decimal, "decimal", "a number, or the text of one", str, _take_decimal),
    TextForm("uuid", uuid.UUID, "uuid", "a UUID", str, uuid.UUID),
)
BY_KIND: Dict[str, TextForm] = {form.kind: form for form in _FORMS}


def form_of(cls: Any) -> Optional[TextForm]:
    """The form of a class and its subclasses; None where it has none. A datetime is a date, too, and is taken as what
    it is."""
    return next((form for form in _FORMS if issubclass(cls, form.cls)), None)


def as_json(value: Any) -> Any:
    """A value of one of these classes as its text, an enumeration's member as its value, and any other as it is."""
    form = form_of(type(value))
    return form.give(value) if form is not None else getattr(value, "value", value)
