"""The names of resumable streams and of their frames: `rs_` + 22 base62 characters, and `<stream>:<seq>` in SSE ids."""

import re
import secrets

from relay.core.keys import BASE62

PREFIX = "rs_"
RANDOM_CHARACTERS = 22  # 131 bits: nobody guesses one
# A longer number is none of ours, and would only cost time.
SEQ_DIGITS_MAX = 12

_STREAM_ID = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARACTERS}}}")
_EVENT_ID = re.compile(rf"({PREFIX}[0-9A-Za-z]{{{RANDOM_CHARACTERS}}}):([0-9]{{1,{SEQ_DIGITS_MAX}}})", re.ASCII)


def mint_stream_id() -> str:
    """Return a new stream's name."""
    return PREFIX + "".join(secrets.choice(BASE62) for _ in range(RANDOM_CHARACTERS))


def is_stream_id(text: str) -> bool:
    """Say whether this could be a stream's name."""
    return _STREAM_ID.fullmatch(text) is not None


def read_event_id(text: str) -> tuple[str, int] | None:
    """Return the stream and the frame that a `Last-Event-ID` names, or None where it is no id of ours."""
    match = _EVENT_ID.fullmatch(text)
    return None if match is None else (match[1], int(match[2]))
