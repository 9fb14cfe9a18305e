"""The refusals in German."""

from relay.core.errors import IN_STREAM, KINDS
from relay.core.german import IN_STREAM as TOLD
from relay.core.german import MESSAGES


def test_every_refusal_has_its_german_words() -> None:
    assert set(MESSAGES) == set(KINDS)
    assert len(set(MESSAGES.values())) == len(MESSAGES)


def test_all_that_is_told_within_a_stream_has_its_german_words() -> None:
    assert set(TOLD) == set(IN_STREAM)
