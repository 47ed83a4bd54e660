import datetime

from cog import BaseRunner


class Runner(BaseRunner):
    def run(self, zone: bool = False) -> datetime.datetime:
        return datetime.datetime(2025, 1, 15, 10, 30, tzinfo=datetime.timezone.utc if zone else None)
