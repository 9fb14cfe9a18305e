"""A kept body that is no event stream: counted in pieces, and its usage read."""

from collections.abc import Callable

import pytest

from relay.core.flow import Ending
from relay.core.numbered_flow import CountedFlow
from relay.core.scrub import Scrubber
from relay.core.usage import Usage
from tests.core.streams import every_cut

JSON = b'{"usage":{"prompt_tokens":1,"completion_tokens":2},\n\n"text":"ab"}'


@pytest.mark.parametrize("feed", [bytearray, lambda: None], ids=["JSON", "other"])
def test_a_body_of_another_kind_is_counted_in_pieces(feed: Callable[[], bytearray | None]) -> None:
    for parts in every_cut(JSON):
        flow = CountedFlow(Scrubber(""), feed())
        pieces = [piece for part in parts if (piece := flow.feed(part))]
        assert flow.last_seq == len(pieces)
        ending = flow.verdict(body_ended=True)
        assert b"".join(pieces) + ending.last == JSON
        assert flow.last_seq == len(pieces) + bool(ending.last)
        assert flow.usage == (Usage(1, 2) if feed() is not None else None)


def test_what_the_scrubber_held_back_is_a_piece_of_its_own() -> None:
    flow = CountedFlow(Scrubber("sk-canary-0123456789"), None)
    assert (flow.feed(b"a sk-can"), flow.last_seq) == (b"a ", 1)
    assert (flow.feed(b"ar"), flow.last_seq) == (b"", 1)
    assert (flow.verdict(body_ended=True).last, flow.last_seq) == (b"sk-canar", 2)


def test_a_body_that_broke_off_has_no_further_piece() -> None:
    flow = CountedFlow(Scrubber(""), None)
    flow.feed(b"ab")
    assert (flow.verdict(body_ended=False), flow.last_seq) == (Ending("truncated"), 1)
