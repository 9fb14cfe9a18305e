"""The upstream's key never comes out, whatever the cuts, and nothing else is lost or changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.scrub import Scrubber
from tests.core.streams import cut_at_random, every_cut

KEY = "sk-canary-0123456789"


def scrubbed(secret: str, parts: list[bytes]) -> bytes:
    scrubber = Scrubber(secret)
    return b"".join(map(scrubber.feed, parts)) + scrubber.flush()


@pytest.mark.parametrize("body", [b"KEY", b"a KEY b", b"KEYKEY", b"sk-KEY", b"sk-canarKEY-01sk", b"sk-canary-01_", b""])
def test_the_key_is_replaced_at_every_split_point(body: bytes) -> None:
    body = body.replace(b"KEY", KEY.encode())
    for parts in every_cut(body):
        assert scrubbed(KEY, parts) == body.replace(KEY.encode(), b"*" * len(KEY)), parts


@given(st.text("ab", min_size=1, max_size=5), st.lists(st.integers(0, 20), max_size=6), st.data())
def test_a_key_that_repeats_itself_is_found_too(unit: str, lengths: list[int], data: st.DataObject) -> None:
    secret = (unit * 20)[:20]
    body, parts = data.draw(cut_at_random(st.just("".join(secret[:length] for length in lengths).encode())))
    assert scrubbed(secret, parts) == body.replace(secret.encode(), b"*" * 20)


@given(cut_at_random(st.text("sk-canry", max_size=30).map(str.encode)))
def test_only_what_may_become_the_key_waits(cut: tuple[bytes, list[bytes]]) -> None:
    scrubber, fed, came = Scrubber(KEY), b"", b""
    for part in cut[1]:
        fed += part
        came += scrubber.feed(part)
        waiting = fed[len(came) :]
        assert KEY.encode().startswith(waiting)
        assert len(waiting) < len(KEY)


def test_lengths_stay_true_so_that_a_declared_length_does() -> None:
    assert len(scrubbed(KEY, [f"{KEY} {KEY}".encode()])) == 2 * len(KEY) + 1


def test_without_a_key_everything_passes_at_once() -> None:
    scrubber = Scrubber("")
    assert scrubber.feed(b"data: *\n") == b"data: *\n"
    assert scrubber.whole(b"data") == b"data"
    assert scrubber.flush() == b""


def test_what_was_flushed_does_not_come_again() -> None:
    scrubber = Scrubber(KEY)
    assert scrubber.feed(b"sk-") == b""
    assert scrubber.flush() == b"sk-"
    assert scrubber.flush() == b""
    assert scrubber.feed(b"canary") == b"canary"


def test_whole_pieces_are_cleaned_each_by_itself() -> None:
    scrubber = Scrubber(KEY)
    assert scrubber.whole(b"data: " + KEY.encode() + b"\n\n") == b"data: " + b"*" * len(KEY) + b"\n\n"
    assert scrubber.whole(b"data: sk-") == b"data: sk-"


@pytest.mark.parametrize("placeholder", ["null", "none", "data", "EMPTY", "ollama", "x"])
def test_a_placeholder_instead_of_a_key_does_not_eat_the_answer(placeholder: str) -> None:
    frame = f'data: {{"x":null,"text":"{placeholder}"}}\n\n'.encode()
    assert Scrubber(placeholder).whole(frame) == frame
    assert scrubbed(placeholder, [frame]) == frame
