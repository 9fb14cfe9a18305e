"""A client token's totals and places, and a key's budget, are exact over four workers and in one."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.live.bench.caller import RawCaller
from tests.live.bench.crew import WORKERS, Crew, crew_of, running_redis
from tests.live.bench.many_callers import BODY, CHAT, WHOLE, asks, in_parallel
from tests.live.bench.waiting import until
from tests.live.bench.workers import connections_of, one_caller_each

ATTEMPTS = 4
CALLERS, ASKS_EACH = 20, 10
REQUESTS, PLACES = 20, 2
TOO_LATE = "store_unavailable"
# One dollar a million tokens; an answer of the crew's has 1 + 1 of them.
PRICES = '{"gpt-test" = {input = 1.0, output = 1.0}}'
COST_USD = 0.000002


@pytest.fixture(scope="module", params=[WORKERS, 1], ids=["redis", "memory"])
def crew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """It denies where Redis answers too late: so a busy machine is told from a limit that is not exact."""
    settings = {"RELAY_LIMITS__ON_STORE_ERROR": "deny", "RELAY_MODELS__PRICES": PRICES}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(running_redis()).url if request.param > 1 else ""
        yield stack.enter_context(crew_of(request.param, url, tmp_path_factory.mktemp("crew"), **settings))


def minted(crew: Crew, *limits: str) -> str:
    """A token of a new key without limits of its own."""
    crew.new_key(rpm=0, concurrent=0)
    return crew.relay.command_line("tokens", "mint", crew.last_name, *limits).strip()


def burst(crew: Crew, credential: str) -> Counter[str]:
    """Ten times as many requests as may pass, from callers of several workers."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(RawCaller(crew.relay.port, key=credential)) for _ in range(CALLERS)]
        came = in_parallel([lambda c=caller: asks(c, ASKS_EACH) for caller in callers])
        spread = connections_of(crew.relay, [caller.sock.getsockname()[1] for caller in callers])
    assert len(spread) > 1 or crew.size == 1
    return came


def fresh(crew: Crew) -> None:
    crew.new_round()
    crew.answer_at_once()


def test_of_ten_times_as_many_requests_exactly_the_tokens_total_succeeds(crew: Crew) -> None:
    """What Redis counted, but told too late, is not known: then the round says little, and is repeated."""
    for attempt in range(ATTEMPTS):
        fresh(crew)
        came = burst(crew, minted(crew, "--requests", str(REQUESTS)))
        print(f"attempt {attempt}: {dict(came)}")
        assert came[WHOLE] == crew.floor.arrived <= REQUESTS
        assert came[WHOLE] + came[TOO_LATE] >= REQUESTS
        assert came[WHOLE] + came[TOO_LATE] + came["rate_limit_exceeded"] == CALLERS * ASKS_EACH
        if not came[TOO_LATE]:
            return


def spent_to_the_end(crew: Crew, credential: str) -> Counter[str]:
    """A burst, and then one after the other what was left of it, until nothing is."""
    fresh(crew)
    came = burst(crew, credential)
    with RawCaller(crew.relay.port, key=credential) as caller:
        for outcome in asks(caller, 2 * REQUESTS):
            came[outcome] += 1
            if outcome == "insufficient_quota":
                break
    print(dict(came))
    return came


@pytest.mark.parametrize("whose", ["token", "key"])
def test_money_is_spent_to_the_last_request_that_fits_and_never_beyond(crew: Crew, whose: str) -> None:
    """Each request reserves more than it costs, so that the number that passes at once varies; in the end it does not:
    after n answers the next fits while n · cost + reservation is within the limit.
    """
    reserved = (len(json.dumps(BODY)) + 3) // 4 + 1024
    limit_usd = f"{REQUESTS * COST_USD + reserved / 1_000_000:.9f}"
    if whose == "token":
        credential = minted(crew, "--cost-usd", limit_usd)
    else:
        credential = crew.new_key(rpm=0, concurrent=0, budget_usd=limit_usd)
    came = spent_to_the_end(crew, credential)
    assert came[WHOLE] == crew.floor.arrived == REQUESTS + 1
    with RawCaller(crew.relay.port, key=credential) as caller:
        caller.get("/v1/usage")
        assert caller.read_answer_head().status == 200
        remaining = json.loads(caller.read_all())["remaining"]
    left = remaining["cost_usd" if whose == "token" else "budget_usd"]
    assert left == pytest.approx(float(limit_usd) - (REQUESTS + 1) * COST_USD, abs=1e-12)


def test_a_token_has_its_places_over_all_workers_together(crew: Crew) -> None:
    crew.new_round()
    crew.hold()
    token = minted(crew, "--concurrent", str(PLACES))
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(RawCaller(crew.relay.port, key=token)) for _ in range(CALLERS)]
        for caller in callers:
            caller.post(CHAT, {**BODY, "stream": True})
        statuses = Counter(caller.read_answer_head(30).status for caller in callers)
        assert statuses[200] <= PLACES
        assert statuses[200] + statuses[503] >= PLACES
        assert statuses[200] + statuses[429] + statuses[503] == CALLERS
        assert crew.floor.peak <= PLACES
    until(lambda: crew.floor.live == 0, 15, "the end of all streams")


def test_a_token_that_is_ended_is_ended_in_every_worker(crew: Crew) -> None:
    crew.new_round()
    crew.hold()
    key = crew.new_key(rpm=0, concurrent=0)
    fields = json.loads(crew.relay.command_line("tokens", "mint", crew.last_name, "--json"))
    other = crew.relay.command_line("tokens", "mint", crew.last_name).strip()
    with contextlib.ExitStack() as stack:
        callers = list(stack.enter_context(one_caller_each(crew.relay, crew.size, fields["value"])).values())
        staying = stack.enter_context(RawCaller(crew.relay.port, key=other))
        for caller in (*callers, staying):
            caller.post(CHAT, {**BODY, "stream": True})
            assert caller.read_answer_head().status == 200
        with RawCaller(crew.relay.port, key=key) as owner:
            owner.request("DELETE", f"/v1/client_secrets/{fields['id']}")
            assert owner.read_answer_head().status == 204
        for caller in callers:
            assert b'"key_revoked"' in caller.read_all(5)
        staying.read_until(b"data: ")
        assert not staying.closed
    until(lambda: statuses_of_each_worker(crew, fields["value"]) == {401}, 5, "the refusal by each worker")


def statuses_of_each_worker(crew: Crew, credential: str) -> set[int]:
    with one_caller_each(crew.relay, crew.size) as callers:
        for caller in callers.values():
            caller.request("HEAD", "/v1/models", key=credential)
        return {caller.read_head()[0] for caller in callers.values()}
