"""Which upstream serves a model, and who may use it."""

import pytest

from relay.core.caller import Caller
from relay.core.errors import RelayError
from relay.core.keys import KeyPolicy
from relay.core.targets import Routing, Target

FIRST = Target("first", "https://a.example/v1", "sk-canary-1")
SECOND = Target("second", "https://b.example/v1", "sk-canary-2", auth="x-api-key")
ANY = Caller("key_1", KeyPolicy())
BOUND = Caller("key_2", KeyPolicy(models=("gpt-4.1", "known")))


def routing(*, pass_unknown: bool) -> Routing:
    return Routing([FIRST, SECOND], {"known": (SECOND, FIRST)}, pass_unknown=pass_unknown)


def refusal(model: str, caller: Caller, *, pass_unknown: bool = True) -> RelayError:
    with pytest.raises(RelayError) as caught:
        routing(pass_unknown=pass_unknown).targets_for(model, caller)
    return caught.value


def test_a_known_model_goes_to_its_upstreams_in_their_order() -> None:
    for pass_unknown in (True, False):
        assert routing(pass_unknown=pass_unknown).targets_for("known", ANY) == (SECOND, FIRST)


def test_an_unknown_model_goes_to_the_first_upstream_alone() -> None:
    assert routing(pass_unknown=True).targets_for("new", ANY) == (FIRST,)


def test_an_unknown_model_is_not_found_where_unknown_ones_do_not_pass() -> None:
    error = refusal("new", ANY, pass_unknown=False)
    assert (error.code, error.param, error.kind.status) == ("model_not_found", "model", 404)
    assert "new" in error.message


def test_a_request_about_no_model_goes_to_the_first_upstream() -> None:
    for pass_unknown in (True, False):
        assert routing(pass_unknown=pass_unknown).targets_for(None, BOUND) == (FIRST,)


def test_a_bound_key_may_use_its_models_alone() -> None:
    assert routing(pass_unknown=True).targets_for("gpt-4.1", BOUND) == (FIRST,)
    assert routing(pass_unknown=False).targets_for("known", BOUND) == (SECOND, FIRST)
    for model in ("gpt-4.1-mini", "GPT-4.1", " gpt-4.1", "", "gpt-4.1\0"):
        assert refusal(model, BOUND).code == "model_not_allowed"


def test_a_bound_key_does_not_learn_which_models_there_are() -> None:
    allowed_nothing = Caller("key_3", KeyPolicy(models=("other",)))
    assert refusal("known", allowed_nothing, pass_unknown=False).code == "model_not_allowed"
    assert refusal("new", allowed_nothing, pass_unknown=False).code == "model_not_allowed"


def test_a_message_repeats_no_more_of_a_model_than_a_name_may_have() -> None:
    assert len(refusal("m" * 10_000, BOUND).message) < 200


def test_the_credential_goes_into_the_header_that_the_upstream_reads() -> None:
    assert FIRST.credential() == {"Authorization": "Bearer sk-canary-1"}
    assert SECOND.credential() == {"X-API-Key": "sk-canary-2"}
    assert Target("local", "http://127.0.0.1:1", "").credential() == {}


def test_a_targets_repr_does_not_show_its_key() -> None:
    assert "canary" not in repr([FIRST, SECOND])
    assert "canary" not in repr(vars(routing(pass_unknown=True)))
