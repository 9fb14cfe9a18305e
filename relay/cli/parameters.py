"""What a value on the command line may be; anything else is a wrong call, exit status 2."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from config.checks import origins
from config.settings import Settings
from relay.core.keys import KeyPolicy

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
USD_MAX = 10**9
# six digits: no date that the calendar does not reach
_SPAN = re.compile(r"([0-9]{1,6})([smhd])")


class Span(click.ParamType[float]):
    """A length of time, 30d, 12h, 10m, 45s or 0, as seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        span = seconds_of(value)
        return self.fail(f"{value!r} is no span like 30d, 12h, 10m, 45s or 0", param, ctx) if span is None else span


class Moment(click.ParamType[float]):
    """A moment to come, as UTC epoch seconds: a span from now, or ISO 8601, in UTC where it names no zone."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        now = time.time()
        span = seconds_of(value)
        moment = _epoch_seconds(value) if span is None else now + span
        if moment is None:
            self.fail(f"{value!r} is neither ISO 8601 nor a span like 30d, 12h or 10m", param, ctx)
        return moment if moment > now else self.fail(f"{value!r} is not in the future", param, ctx)


class Printable(click.ParamType[str]):
    """1 to `length_max` visible characters, spaces only inside."""

    name = "text"

    def __init__(self, length_max: int) -> None:
        self._length_max = length_max

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if 0 < len(value) <= self._length_max and value.isprintable() and value == value.strip():
            return str(value)
        return self.fail(f"must be 1 to {self._length_max} visible characters", param, ctx)


class Origin(click.ParamType[str]):
    """An exact origin, as the configuration's are."""

    name = "origin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        for reason in origins((value,)):
            self.fail(reason, param, ctx)
        return str(value)


class Dollars(click.FloatRange):
    """US dollars, 0 is no limit. Click alone would take "nan", which is neither below nor above anything."""

    def __init__(self) -> None:
        super().__init__(min=0, max=USD_MAX)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        dollars = float(super().convert(value, param, ctx))
        return dollars if dollars >= 0 else self.fail(f"{value!r} is not a number", param, ctx)


def seconds_of(text: str) -> float | None:
    """Return the seconds of a span, None where it is none."""
    if text == "0":
        return 0.0
    match = _SPAN.fullmatch(text)
    return None if match is None else float(int(match[1]) * SECONDS[match[2]])


def _epoch_seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


def default_policy(settings: Settings) -> KeyPolicy:
    """What a new key gets where nothing else was asked for."""
    limits = settings.limits
    return KeyPolicy(
        rpm=limits.rpm,
        concurrent=limits.concurrent,
        tpm=limits.tpm,
        budget_usd=limits.budget_usd,
        budget_per=limits.budget_per,
        max_output_tokens=limits.max_output_tokens,
    )
