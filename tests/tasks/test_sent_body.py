"""A body that says when it was sent."""

from relay.tasks.sent_body import SentBody


def test_it_is_read_as_it_is_and_says_once_that_all_was_sent() -> None:
    told: list[str] = []
    body = SentBody(b"abcde", lambda: told.append("sent"))
    assert [body.read(2), body.read(2), body.read(2)] == [b"ab", b"cd", b"e"]
    assert told == [], "it was only read"
    assert (body.read(2), body.read(2)) == (b"", b"")
    assert told == ["sent"]
