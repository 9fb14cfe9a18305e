"""Every refusal has the status, the type and the advice to retry that the contract names (CONTRACT 5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import IN_STREAM, KINDS, RelayError, error_object, retry_headers

CONTRACT = {
    400: "invalid_request ambiguous_credentials key_in_query request_too_large_for_limit",
    401: "missing_credentials invalid_api_key token_expired",
    403: "model_not_allowed scope_not_allowed origin_not_allowed",
    404: "route_not_found stream_not_found task_not_found model_not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    410: "stream_expired events_evicted",
    413: "body_too_large",
    415: "unsupported_media_type",
    421: "misdirected_request",
    422: "idempotency_mismatch",
    429: "rate_limit_exceeded tokens_rate_limit_exceeded too_many_streams queue_full"
    " auth_rate_limited insufficient_quota",
    502: "upstream_unreachable upstream_bad_response upstream_redirect upstream_auth_failed upstream_tls",
    503: "draining overloaded store_unavailable",
    504: "upstream_connect_timeout upstream_timeout",
}
STATUSES = {code: status for status, codes in CONTRACT.items() for code in codes.split()}
RETRIED = set(
    [
        "rate_limit_exceeded",
        "tokens_rate_limit_exceeded",
        "too_many_streams",
        "queue_full",
        "upstream_unreachable",
        "draining",
        "overloaded",
        "store_unavailable",
        "upstream_connect_timeout",
    ]
)
OURS_ALONE = {"client_gone", "internal_error"}  # no answer anybody reads, and a defect
RETRYABLE_STATUSES = (408, 409, 429)


def an_sdk_retries(error: RelayError) -> bool:
    """The rule of openai-python and openai-node."""
    advice = dict(error.headers()).get("x-should-retry")
    if advice is not None:
        return advice == "true"
    return error.kind.status in RETRYABLE_STATUSES or error.kind.status >= 500


def test_the_codes_are_those_of_the_contract() -> None:
    assert set(KINDS) - OURS_ALONE == set(STATUSES)


@pytest.mark.parametrize("code", STATUSES)
def test_a_code_has_its_status_and_is_retried_as_the_contract_says(code: str) -> None:
    error = RelayError(code, "because")
    assert error.kind.status == STATUSES[code]
    assert an_sdk_retries(error) is (code in RETRIED)


@pytest.mark.parametrize("code", KINDS)
def test_only_a_401_asks_for_a_bearer(code: str) -> None:
    error = RelayError(code, "because")
    assert (("WWW-Authenticate", "Bearer") in error.headers()) is (error.kind.status == 401)


def test_the_in_stream_codes_are_those_of_the_contract() -> None:
    contract = (
        "upstream_disconnected upstream_incomplete upstream_idle_timeout deadline_exceeded frame_too_large cancelled"
        " relay_draining relay_restarted key_revoked budget_exhausted worker_lost"
    )
    assert set(IN_STREAM) - {"upstream_bad_response", "internal_error"} == set(contract.split())


def test_an_error_carries_its_headers_and_says_its_message() -> None:
    error = RelayError("too_many_streams", "Wait.", param="x", retry_after_seconds=1.5, headers=(("A", "b"),))
    assert error.headers() == [("A", "b"), ("Retry-After", "2"), ("retry-after-ms", "1500")]
    assert (str(error), error.param) == ("Wait.", "x")
    assert dict(RelayError("insufficient_quota", "Paid up.").headers()) == {"x-should-retry": "false"}


def test_headers_of_one_error_do_not_pile_up() -> None:
    error = RelayError("invalid_api_key", "No.")
    assert error.headers() == error.headers() == [("WWW-Authenticate", "Bearer")]


def test_an_unknown_code_is_noticed_at_once() -> None:
    with pytest.raises(KeyError):
        RelayError("no_such_code", "?").headers()


@pytest.mark.parametrize(
    ("seconds", "whole", "milliseconds"),
    [(0, "1", "1"), (-5, "1", "1"), (0.25, "1", "250"), (1, "1", "1000"), (1.0001, "2", "1001"), (60, "60", "60000"),
     (61, "60", "60000"), (float("inf"), "60", "60000")],
)  # fmt: skip
def test_the_time_to_wait_is_within_1_and_60_seconds(seconds: float, whole: str, milliseconds: str) -> None:
    assert retry_headers(seconds) == [("Retry-After", whole), ("retry-after-ms", milliseconds)]


@given(st.floats(0, 60))
def test_who_waits_as_told_has_waited_long_enough(seconds: float) -> None:
    whole, milliseconds = (int(value) for _, value in retry_headers(seconds))
    assert seconds <= whole <= max(1, seconds + 1)
    assert seconds <= milliseconds / 1000 <= max(0.001, seconds + 0.0011)


def test_the_error_object_is_openais() -> None:
    assert error_object("c", "m", "t") == {"message": "m", "type": "t", "param": None, "code": "c"}
    assert error_object("c", "m", "t", "model")["param"] == "model"
