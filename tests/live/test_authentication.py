"""A1 to A8, A10, A11, A13: whoever cannot show a key in force is refused before a byte goes upstream."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.bench import canaries
from tests.live.bench.caller import RawCaller
from tests.live.bench.relay_process import UPSTREAM_KEY, RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.wire import Head
from tests.live.cases import CHAT, Owed, nothing_left, refusal
from tests.live.pairs import LIMITS

BODY = b'{"model":"gpt-test","messages":[]}'
UNKNOWN = "rk_" + "x" * 38
MALFORMED = {
    "A2 scheme alone": "Bearer",
    "A2 nothing behind the scheme": "Bearer ",
    "A2 two words": "Bearer {key} b",
    "A2 a tab": "Bearer\t{key}",
    "A2 a comma": "Bearer {key},",
    "A2 two in one": "Bearer {key}, Bearer {key}",
    "A3 Basic": "Basic {key}",
    "A3 Digest": 'Digest username="{key}"',
    "A3 Token": "Token {key}",
    "A3 bare key": "{key}",
    "A3 scheme glued": "Bearer{key}",
    "A5 another case": "Bearer {swapped}",
    "A6 interior space": "Bearer {half} {rest}",
    "A7 513 bytes": "Bearer " + "k" * 513,
    "A7 a line of 8,190 bytes": "Bearer " + "k" * (8_190 - len("Authorization: Bearer \r\n")),
    "A8 Latin-1": "Bearer {half}\xe9",
    "A8 overlong UTF-8": "Bearer {half}\xc0\xaf",
    "A10 SQL": "Bearer '/**/OR/**/'1'='1",
    "A10 star": "Bearer *",
    "A10 braces": "Bearer {{}}",
    "A10 path": "Bearer ../../etc/passwd",
    "A10 Redis": "Bearer FLUSHALL",
    "A10 slash": "Bearer {half}/{rest}",
    "A13 unknown": "Bearer " + UNKNOWN,
    "A13 one character off": "Bearer {half}{rest}0",
}

CONTRADICTING = [
    ("Authorization: Bearer {key}", "Authorization: Bearer {key}"),
    ("Authorization: Bearer {key}", "authorization: Bearer other"),
    ("X-API-Key: {key}", "x-api-key: {key}"),
    ("X-API-Key: {key}", "X-API-Key: other"),
    ("Authorization: Bearer {key}", "X-API-Key: other"),
    ("Authorization: Basic {key}", "X-API-Key: {key}"),
    ("Authorization: Bearer {key}", "X-API-Key: {key}", "X-API-Key: {key}"),
    ("X-API-Key: {key}", "Authorization: x", "Authorization: y"),
]
ACCEPTED = [
    ("Authorization: Bearer {key}",),
    ("AUTHORIZATION: bearer {key}",),
    ("authorization: BEARER   {key}",),
    ("Authorization: \t Bearer {key} \t ",),
    ("X-API-Key: {key}",),
    ("x-Api-kEy:\t{key}\t",),
    ("Authorization: Bearer {key}", "X-API-Key: {key}"),
]
BROKEN = {
    "A6 fold": (["Authorization: Bearer {key}\r\n more"], 400),
    "A8 NUL": (["Authorization: Bearer {key}\0"], 400),
    "space before the colon": (["Authorization : Bearer {key}"], 400),
    "A7 a line of 8,191 bytes": (["Authorization: Bearer " + "k" * (8_191 - len("Authorization: Bearer \r\n"))], 431),
    "A7 101 headers": ([f"X-{n}: 1" for n in range(101)], 431),
}
NewCaller = Callable[[], RawCaller]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """With room for many failing attempts from one address."""
    environ = {**LIMITS, "RELAY_AUTH__FAILURES_PER_MINUTE": "1000000"}
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(autouse=True)
def owed(relay: RelayProcess, upstream: ScriptedUpstream) -> Iterator[Owed]:
    with nothing_left(relay, upstream) as owed:
        yield owed


@pytest.fixture
def nothing_upstream(upstream: ScriptedUpstream) -> Iterator[None]:
    yield
    assert upstream.received == b""
    assert upstream.accepted == 0


def raw(*lines: str, path: str = CHAT, method: str = "POST") -> bytes:
    """A chat request with exactly these header lines more; a line may hold any byte."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines]
    if method == "POST":
        head += ["Content-Type: application/json", f"Content-Length: {len(BODY)}"]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + (BODY if method == "POST" else b"")


def answer(caller: RawCaller, *lines: str, **request: str) -> Head:
    caller.send(raw(*lines, **request))
    return caller.read_answer_head()


def filled(text: str, key: str) -> str:
    return text.format(key=key, half=key[:20], rest=key[20:], swapped=key.swapcase())


@pytest.mark.usefixtures("nothing_upstream")
def test_no_credential_is_missing_credentials(caller: RawCaller) -> None:
    head = answer(caller)
    assert refusal(caller, head) == (401, "missing_credentials")
    assert head.header("www-authenticate") == "Bearer"


@pytest.mark.usefixtures("nothing_upstream")
@pytest.mark.parametrize("row", sorted({name.split()[0] for name in MALFORMED}))
def test_a_credential_that_is_no_key_is_invalid(
    new_caller: NewCaller, key: str, owed: Owed, subtests: pytest.Subtests, row: str
) -> None:
    cases = {name: text for name, text in MALFORMED.items() if name.split()[0] == row}
    owed.requests = len(cases)
    for name, text in cases.items():
        with subtests.test(name), new_caller() as caller:
            head = answer(caller, f"Authorization: {filled(text, key)}")
            assert refusal(caller, head) == (401, "invalid_api_key")
            assert head.header("www-authenticate") == "Bearer"


@pytest.mark.usefixtures("nothing_upstream")
def test_every_invalid_credential_gets_the_same_bytes(
    relay: RelayProcess, new_caller: NewCaller, key: str, owed: Owed
) -> None:
    expired, revoked = relay.create_key("expired", expires="1s"), relay.create_key("revoked")
    relay.command_line("keys", "revoke", "revoked")
    time.sleep(1)  # neither was ever used, so neither is remembered
    sent = [f"Authorization: {filled(text, key)}" for text in MALFORMED.values()]
    sent += [f"X-API-Key: {UNKNOWN}", f"X-API-Key: {revoked}", f"Authorization: Bearer {revoked}"]
    sent += [f"X-API-Key: {expired}", f"Authorization: Bearer {expired}"]
    owed.requests = len(sent)
    answers = {same_for_all(new_caller(), line) for line in sent}
    assert len(answers) == 1
    said = f"{relay.stdout()}{relay.stderr()}"
    canaries.assert_absent({"the log": said}, {"an unknown key": UNKNOWN, "its beginning": UNKNOWN[:8]})


@pytest.mark.usefixtures("nothing_upstream")
def test_credentials_that_contradict_each_other_are_ambiguous(
    new_caller: NewCaller, key: str, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(CONTRADICTING)
    for lines in CONTRADICTING:
        with subtests.test(" + ".join(lines)), new_caller() as caller:
            head = answer(caller, *(line.format(key=key) for line in lines))
            assert refusal(caller, head) == (400, "ambiguous_credentials")


def test_a_key_is_accepted_however_its_header_is_written(
    upstream: ScriptedUpstream, new_caller: NewCaller, key: str, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = len(ACCEPTED)
    for lines in ACCEPTED:
        with subtests.test(" + ".join(lines)), new_caller() as caller:
            head = answer(caller, *(line.format(key=key) for line in lines))
            assert (head.status, caller.read_all() != b"") == (200, True)
    assert [sent.header("authorization") for sent in upstream.requests] == [f"Bearer {UPSTREAM_KEY}"] * len(ACCEPTED)
    assert key.encode() not in upstream.received


@pytest.mark.usefixtures("nothing_upstream")
def test_a_head_that_is_not_valid_is_refused_and_the_connection_closed(
    new_caller: NewCaller, key: str, owed: Owed, subtests: pytest.Subtests
) -> None:
    owed.requests = 0  # none of them was a request
    for name, (lines, status) in BROKEN.items():
        with subtests.test(name), new_caller() as caller:
            assert answer(caller, *(line.format(key=key) for line in lines)).status == status
            assert caller.wait_closed(2)
            canaries.assert_absent({"the answer": bytes(caller.received)}, {"the key": key})


@pytest.mark.usefixtures("nothing_upstream")
def test_a_key_in_the_query_is_refused_and_not_logged(caller: RawCaller, key: str, owed: Owed) -> None:
    names = ["key", "api_key", "access_token", "token", "API_KEY"]
    owed.requests = 2 * len(names)
    for name in names:
        head = answer(caller, path=f"{CHAT}?x=1&{name}={key}")
        assert refusal(caller, head) == (400, "key_in_query"), name
        head = answer(caller, f"Authorization: Bearer {key}", path=f"/v1/models?{name}={key}", method="GET")
        assert refusal(caller, head) == (400, "key_in_query"), name


@pytest.mark.usefixtures("nothing_upstream")
def test_a_key_in_a_broken_request_line_is_not_logged(new_caller: NewCaller, key: str, owed: Owed) -> None:
    owed.requests = 0
    for version in ("HTTP/9.9", "x", "HTTP/1.1 x"):
        with new_caller() as caller:
            caller.send(f"GET /v1/models?api_key={key} {version}\r\nHost: x\r\n\r\n".encode())
            assert 400 <= caller.read_head()[0] < 600
            assert caller.wait_closed(2)


def same_for_all(caller: RawCaller, line: str) -> bytes:
    """Status, headers and body of a refusal, without what differs from request to request anyway."""
    head = answer(caller, line)
    own = [(name, value) for name, value in head.headers if name.lower() not in ("x-request-id", "date")]
    return repr((head.start_line, own)).encode() + caller.read_all()
