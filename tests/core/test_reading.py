"""What strangers send is read or it is None; it never fails the relay."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.reading import error_code, read

numbers = msgspec.json.Decoder(list[int])
anything: msgspec.json.Decoder[object] = msgspec.json.Decoder()


def test_what_fits_is_read() -> None:
    assert read(numbers, b" [1, 2] ") == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[1",
        b'["1"]',
        b"{}",
        b"[1]x",
        b'["\xff"]',
        b'["\\ud800"]',
        b"[1e999]",
        b"[" + b"9" * 5_000 + b"]",
        b"[NaN]",
    ],
    ids=range(10),
)
def test_what_does_not_fit_is_none(text: bytes) -> None:
    assert read(numbers, text) is None


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_nesting_without_end_is_none(depth: int) -> None:
    assert read(anything, b"[" * depth + b"]" * depth) is None
    assert read(anything, b'{"a":' * depth + b"1" + b"}" * depth) is None


@pytest.mark.parametrize("text", [b'"\xff"', b'{"\xff":1}', b'"\xed\xa0\x80"', b"[1", b"1e999"])
def test_what_is_no_text_and_no_number_is_none(text: bytes) -> None:
    assert read(anything, text) is None


@given(st.binary(max_size=30) | st.text(max_size=10).map(lambda text: json.dumps(text).encode()[:-1]))
def test_no_bytes_fail_it(text: bytes) -> None:
    read(anything, text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"error":{"message":"x","code":"invalid_api_key"}}', "invalid_api_key"),
        (b'{"error":{"code":7}}', ""),
        (b'{"error":"MISSING_AUTH"}', ""),
        (b'{"error":{}}', ""),
        (b"<html>", ""),
    ],
)
def test_the_code_of_an_error_is_read(text: bytes, code: str) -> None:
    assert error_code(text) == code
