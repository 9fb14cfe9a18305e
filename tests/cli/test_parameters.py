"""Spans and moments as they are typed."""

import time
from collections.abc import Iterator

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.parameters import Moment, Span, seconds_of

NOW = 1_800_000_000.0


@pytest.fixture
def tokyo() -> Iterator[None]:
    """The machine's zone is nine hours ahead of UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("45s", 45), ("10m", 600), ("12h", 43_200), ("30d", 2_592_000), ("0d", 0)]
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert Span().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "1w", "1.5h", "-1h", "1h30m", " 1h", "1H", "1h\n", "٣h", "9999999d"])
def test_anything_else_is_no_span(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no span"):
        Span().convert(text, None, None)


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", NOW + 600),
        ("999999d", NOW + 999_999 * 86_400),
        ("2027-01-16", 1_800_057_600),
        ("2027-01-15T08:00:01", NOW + 1),
        ("2027-01-15T08:00:01Z", NOW + 1),
        ("2027-01-15T10:00:01+02:00", NOW + 1),
        ("20270115T080001.5Z", NOW + 1.5),
    ],
)
def test_a_moment_is_a_span_from_now_or_a_date(text: str, moment: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert Moment().convert(text, None, None) == moment


@pytest.mark.parametrize("text", ["0", "2027-01-15T08:00:00Z", "2027-01-15", "1970-01-01", "0001-01-01T00:00:00+14:00"])
def test_a_moment_that_is_over_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    with pytest.raises(click.BadParameter):
        Moment().convert(text, None, None)


@given(st.text(max_size=20))
def test_no_text_breaks_a_moment(text: str) -> None:
    try:
        assert Moment().convert(text, None, None) > time.time() - 60
    except click.BadParameter:
        assert not seconds_of(text)
