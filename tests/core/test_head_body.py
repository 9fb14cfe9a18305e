"""Which answers have no body, whatever their headers say."""

import pytest

from relay.core.head import BadHead, body_of

DISPUTED = [("Content-Length", "5"), ("Transfer-Encoding", "chunked")]


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body_whatever_their_headers_say(status: int) -> None:
    body = body_of(status, DISPUTED, http11=True)
    assert (body.ended, body.length_bytes) == (True, 0)


def test_all_others_have_the_one_that_their_headers_declare() -> None:
    assert body_of(200, DISPUTED[:1], http11=True).length_bytes == 5
    with pytest.raises(BadHead):
        body_of(200, DISPUTED, http11=True)
