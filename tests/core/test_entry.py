"""What becomes of a request in the ledger: all that was measured, and nothing that a caller could hide in it."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.entry import TEXT_CHARACTERS_MAX, Entry, entry_of
from relay.core.keys import mint_key
from relay.core.usage import Usage

TIMES = {"duration_ms": 2500.0, "ttft_ms": 106.0, "overhead_ms": 10.0}
ENDED_AT = 2_000_000_002.5


def told(**fields: Any) -> Any:
    """A request as it was measured."""
    plain = {
        "request_id": "req_12345678", "route": "/v1/chat/completions", "model": "gpt-test", "upstream": "default",
        "status": 200, "end": "done", "bytes_out": 876, "frames_out": 3, "usage": Usage(1000, 500),
    }  # fmt: skip
    return SimpleNamespace(**{**plain, **fields})


def entered(**fields: Any) -> Entry:
    return entry_of(told(**fields), "key_1", 0.006, ENDED_AT, TIMES)


def test_an_entry_is_all_that_was_measured() -> None:
    assert entered() == Entry(
        request_id="req_12345678",
        key_id="key_1",
        route="/v1/chat/completions",
        model="gpt-test",
        upstream="default",
        status=200,
        end="done",
        input_tokens=1000,
        output_tokens=500,
        cost_usd=0.006,
        begun_at=2_000_000_000.0,
        duration_ms=2500.0,
        ttft_ms=106.0,
        bytes_out=876,
        frames_out=3,
    )


def test_what_is_not_known_stays_unknown() -> None:
    unknown = {"duration_ms": 1.0, "ttft_ms": None}
    row = entry_of(told(model=None, upstream=None, usage=None), "key_1", None, ENDED_AT, unknown)
    assert (row.model, row.upstream, row.input_tokens, row.output_tokens) == (None, None, None, None)
    assert (row.cost_usd, row.ttft_ms) == (None, None)


def test_tokens_that_were_counted_as_none_are_zero_and_not_unknown() -> None:
    row = entered(usage=Usage(7, 0))
    assert (row.input_tokens, row.output_tokens) == (7, 0)


@pytest.mark.parametrize("name", ["request_id", "model"])
@pytest.mark.parametrize("around", ["{}", "x{}", "{}-1", "a.{}.b", "x" * (TEXT_CHARACTERS_MAX - 30) + "{}"])
def test_a_key_that_was_sent_as_a_name_is_not_kept(name: str, around: str) -> None:
    key = mint_key()
    kept = getattr(entered(**{name: around.format(key)}), name)
    assert key[3:20] not in kept
    assert kept.startswith(around.partition("{}")[0])


@given(st.text())
def test_names_are_short_and_printable(text: str) -> None:
    row = entered(request_id=text, model=text)
    assert row.model == row.request_id
    assert len(row.request_id) <= TEXT_CHARACTERS_MAX
    assert row.request_id.isprintable()


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[31m", "a\nb", "a\ud800b", "a\u202eb"])
def test_what_a_database_or_a_terminal_would_stumble_over_is_replaced(text: str) -> None:
    assert entered(model=text).model == "a\ufffd" + text[2:]


def test_a_name_that_is_harmless_stays_as_it_is() -> None:
    assert entered(model="Modell für 漢字 / v1:latest").model == "Modell für 漢字 / v1:latest"
    assert entered(model="m" * 5_000).model == "m" * TEXT_CHARACTERS_MAX
