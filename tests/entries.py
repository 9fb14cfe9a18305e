"""Entries of the ledger for tests."""

from typing import Any

import msgspec

from relay.core.entry import Entry

NOON = 1_800_014_400.0  # 2027-01-15 12:00 UTC
DAY = 86_400
PLAIN = Entry(
    request_id="req_0",
    key_id="key_1",
    route="/v1/chat/completions",
    model="gpt-test",
    upstream="default",
    status=200,
    end="done",
    input_tokens=10,
    output_tokens=20,
    cost_usd=0.25,
    begun_at=NOON,
    duration_ms=1500.5,
    ttft_ms=80.25,
    bytes_out=900,
    frames_out=21,
)


def entry(number: int = 0, **fields: Any) -> Entry:
    """An answered request; another number is another request."""
    return msgspec.structs.replace(PLAIN, request_id=f"req_{number}", **fields)


def entries(count: int, **fields: Any) -> list[Entry]:
    return [entry(number, **fields) for number in range(count)]
