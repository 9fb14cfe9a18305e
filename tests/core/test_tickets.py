"""Tickets: genuine for one name, until one time, and in no other form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.tickets import expiry_of, mint_ticket

SECRET = b"a secret of at least thirty-two bytes"
NAME = "rs_0123456789012345678901"
EXPIRES_AT = 1_900_000_000
TICKET = mint_ticket(SECRET, NAME, EXPIRES_AT)


@given(st.text(), st.integers(0, 2**53), st.binary(min_size=1))
def test_a_ticket_says_until_when_it_holds(name: str, expires_at: int, secret: bytes) -> None:
    assert expiry_of(secret, name, mint_ticket(secret, name, expires_at)) == expires_at


def test_it_holds_a_second_less_rather_than_one_more() -> None:
    assert expiry_of(SECRET, NAME, mint_ticket(SECRET, NAME, EXPIRES_AT + 0.9)) == EXPIRES_AT


def test_another_name_has_another_ticket() -> None:
    assert expiry_of(SECRET, NAME[:-1] + "2", TICKET) is None
    assert expiry_of(SECRET, "", TICKET) is None


def test_another_secret_makes_no_ticket() -> None:
    assert expiry_of(SECRET + b"x", NAME, TICKET) is None


def test_any_other_character_anywhere_spoils_it() -> None:
    for at in range(len(TICKET)):
        for other in ("A", "z", "0", "_", "-", ".", "\n", "\0", "é", ""):
            forged = TICKET[:at] + other + TICKET[at + 1 :]
            assert forged == TICKET or expiry_of(SECRET, NAME, forged) is None, (at, other)


def test_any_bit_anywhere_spoils_it() -> None:
    for at in range(len(TICKET)):
        for bit in range(8):
            forged = TICKET[:at] + chr(ord(TICKET[at]) ^ 1 << bit) + TICKET[at + 1 :]
            assert expiry_of(SECRET, NAME, forged) is None, (at, bit)


def test_a_part_of_it_is_none() -> None:
    for length in range(len(TICKET)):
        assert expiry_of(SECRET, NAME, TICKET[:length]) is None
        assert expiry_of(SECRET, NAME, TICKET[length + 1 :]) is None


@pytest.mark.parametrize("around", ["{} ", " {}", "{}\n", "{}=", "0{}", "{0}{0}", "{}."])
def test_nothing_may_stand_around_it(around: str) -> None:
    assert expiry_of(SECRET, NAME, around.format(TICKET)) is None


def test_a_later_expiry_needs_its_own_mac() -> None:
    expiry, _, mac = TICKET.partition(".")
    later = mint_ticket(SECRET, NAME, EXPIRES_AT + 1).partition(".")[0]
    assert later > expiry
    assert expiry_of(SECRET, NAME, f"{later}.{mac}") is None


@given(st.text())
def test_no_other_text_is_one(text: str) -> None:
    assert expiry_of(SECRET, NAME, text) is None
