"""The refusals in German."""

from relay.core.errors import KINDS
from relay.web.german import MESSAGES


def test_every_refusal_has_its_german_words() -> None:
    assert set(MESSAGES) == set(KINDS)
    assert len(set(MESSAGES.values())) == len(MESSAGES)
