"""Which key a request presents, and that everything else is one and the same refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.credentials import (
    CREDENTIAL_BYTES_MAX,
    QUERY_NAMES,
    REPEATED,
    Credentials,
    KeyRevoked,
    invalid_key,
    network_of,
    presented_key,
)
from relay.core.errors import RelayError

KEY = "rk_0123456789abcdefghijABCDEFGHIJ0000002wjyrI"
VISIBLE = "".join(map(chr, range(0x21, 0x7F))).replace(",", "")


def refusal(**sent: str | None) -> RelayError:
    with pytest.raises(RelayError) as caught:
        presented_key(Credentials(**sent))
    return caught.value


def told(error: RelayError) -> tuple[object, ...]:
    return error.code, error.message, error.param, error.kind, tuple(error.headers())


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEARER"])
@pytest.mark.parametrize("around", ["{} {}", " {}  {} ", "\t{} {}\t"])
def test_the_scheme_may_have_any_case_and_spaces_around(scheme: str, around: str) -> None:
    assert presented_key(Credentials(authorization=around.format(scheme, KEY))) == KEY


def test_both_headers_have_the_same_rights() -> None:
    assert presented_key(Credentials(api_key=f" {KEY}\t")) == KEY
    assert presented_key(Credentials(f"Bearer {KEY}", KEY)) == KEY


@given(st.text(VISIBLE, min_size=1, max_size=60))
def test_the_key_is_exact(key: str) -> None:
    assert presented_key(Credentials(authorization=f"Bearer {key}")) == key
    assert presented_key(Credentials(api_key=key)) == key


def test_no_credential_is_missing_and_says_what_to_send() -> None:
    error = refusal()
    assert (error.code, error.kind.status) == ("missing_credentials", 401)
    assert ("WWW-Authenticate", "Bearer") in error.headers()


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "Bearer", "Bearer ", "Bearer\t", "Bearer a b", "Bearer\tk", "Bearer \tk", "Bearer k,", KEY,
        f"Bearer {KEY},{KEY}", f"Bearer {KEY}, Bearer {KEY}", f"Bearer: {KEY}", f"Bearer{KEY}", f"xBearer {KEY}",
        f"Basic {KEY}", f"Digest {KEY}", f"Token {KEY}", f"\u0392earer {KEY}", f"Bearer {KEY}\n", f"\nBearer {KEY}",
        f"Bearer\u00a0{KEY}", f"\u00a0Bearer {KEY}", "Bearer kä", "Bearer k\0", "Bearer \xc0\xaf", "Bearer k\x7f",
        "Bearer \ud800", "Bearer " + " " * 9_000,
    ],
)  # fmt: skip
def test_a_malformed_header_is_refused_like_an_unknown_key(value: str) -> None:
    assert told(refusal(authorization=value)) == told(invalid_key())


@pytest.mark.parametrize("value", ["", " ", "a b", "a,b", f"Bearer {KEY}", "kä", "k\0", "k\n", "\u2028k"])
def test_a_malformed_bare_key_is_refused_like_an_unknown_one(value: str) -> None:
    assert told(refusal(api_key=value)) == told(invalid_key())


@given(st.text(max_size=30), st.text(max_size=30))
def test_nothing_that_a_caller_sends_fails_the_relay(authorization: str, api_key: str) -> None:
    for sent in (Credentials(authorization, api_key), Credentials(authorization), Credentials(None, api_key)):
        try:
            presented_key(sent)
        except RelayError as error:
            assert error.code in ("invalid_api_key", "ambiguous_credentials")


def test_a_key_of_512_bytes_is_read_and_a_longer_one_is_not() -> None:
    longest = "k" * CREDENTIAL_BYTES_MAX
    assert presented_key(Credentials(f"Bearer {longest}")) == presented_key(Credentials(api_key=longest)) == longest
    for length in (513, 8_190):
        key = "k" * length
        assert told(refusal(authorization=f"Bearer {key}")) == told(refusal(api_key=key)) == told(invalid_key())
        assert told(refusal(authorization=f"Bearer {key}", api_key=key)) == told(invalid_key())


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (f"Bearer {KEY}", KEY[:-1]),
        (f"Bearer {KEY}", KEY.upper()),
        (f"Bearer {KEY}", ""),
        (f"Basic {KEY}", KEY),
        (REPEATED, None),
        (None, REPEATED),
        (REPEATED, REPEATED),
        (f"Bearer {KEY}", REPEATED),
        (REPEATED, KEY),
    ],
)
def test_two_credentials_that_differ_or_repeat_are_ambiguous(authorization: str | None, api_key: str | None) -> None:
    error = refusal(authorization=authorization, api_key=api_key)
    assert (error.code, error.kind.status) == ("ambiguous_credentials", 400)


def test_no_refusal_and_no_repr_shows_what_was_sent() -> None:
    for sent in ({"authorization": f"Basic {KEY}"}, {"authorization": f"Bearer {KEY}", "api_key": "other"}):
        assert KEY not in str(told(refusal(**sent)))
    assert KEY not in repr(Credentials(f"Bearer {KEY}", KEY))


def test_a_ticket_may_stand_in_the_query_but_no_key() -> None:
    assert {"key", "api_key", "access_token", "token"} == QUERY_NAMES


def test_a_key_that_was_revoked_while_it_waited_gets_the_answer_of_an_unknown_one() -> None:
    assert told(KeyRevoked()) == told(invalid_key())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_stands_for_itself_or_for_its_customers_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    "rubbish", ["", "unknown", "203.0.113.7:80", "203.0.113", "[::1]", "1.2.3.4, 5.6.7.8", "\0", "é"]
)
def test_what_is_no_address_is_one_and_the_same(rubbish: str) -> None:
    """Whatever is sent in its place must not make a new one each time."""
    assert network_of(rubbish) == "unknown"


@given(st.text(max_size=50))
def test_no_address_is_a_failure(text: str) -> None:
    assert network_of(text)
