"""A real Prometheus adds up four workers: its sums are the log's and the ledger's, and a killed worker's stay."""

import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.live.bench.crew import WORKERS, running_redis
from tests.live.bench.mixture import KINDS, Keys, mixed, said_by_model
from tests.live.bench.prometheus import Labels, Prometheus, figures_in
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.bench.waiting import until
from tests.live.bench.workers import kill_worker, one_caller_each, several
from tests.live.cases import CHAT

SEED = 20_261_121
REQUESTS, CALLERS = 2_000, 16
SETTLED_SECONDS_MAX = 15.0
PRICES = '{"gpt-test" = { input = 2.0, output = 8.0 }}'
# Prometheus' own requests, and those of a test that looks: they go on while figures are compared.
OF_ONLOOKERS = ("/metrics", "/health/live")
KNOWN = (CHAT, "/v1/models")
Line = Mapping[str, object]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with running_redis() as redis:
        environ = several(WORKERS, redis.url, RELAY_MODELS__PRICES=PRICES)
        relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), environ)
        try:
            relay.wait_ready()
            with one_caller_each(relay, WORKERS):
                yield relay
        finally:
            relay.stop()


@pytest.fixture(scope="module")
def prometheus(relay: RelayProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    server = Prometheus(relay.port, tmp_path_factory.mktemp("prometheus"))
    try:
        yield server.wait_ready()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def keys(relay: RelayProcess) -> Keys:
    return Keys(relay.create_key("good", rpm=1_000_000, concurrent=10_000), relay.create_key("narrow", rpm=10))


def test_sums_over_all_workers_are_those_of_the_log_and_of_the_ledger(
    upstream: ScriptedUpstream, relay: RelayProcess, prometheus: Prometheus, keys: Keys
) -> None:
    upstream.answer(said_by_model(SEED))
    before, begun = len(lines_of(relay)), time.monotonic()
    kinds = mixed(relay.port, keys, REQUESTS, CALLERS, SEED)
    took = time.monotonic() - begun
    until(lambda: len(lines_of(relay)) - before == REQUESTS, SETTLED_SECONDS_MAX, "a line for each request")
    lines = lines_of(relay)
    told = Counter(str(line["end"]) for line in lines[before:])
    print(f"{REQUESTS} requests in {took:.1f} s: {dict(kinds)}; {dict(told)}")
    assert set(kinds) == set(KINDS)
    assert told["client_gone"] == kinds["left"]
    assert_equal_at_last(lambda: counted(prometheus), lambda: by_route_status_and_end(lines))
    assert prometheus.sums("sum by (code) (relay_refusals_total)", "code") == by(lines, "error")
    assert_equal_at_last(lambda: entered(relay), lambda: by_route_status_and_end([x for x in lines if x["key_id"]]))
    assert_tokens_and_cost_agree(relay, prometheus, lines)
    for name in ("bytes_out", "frames_out"):
        assert prometheus.sum(f"sum(relay_{name}_total)") == sum(
            int(str(line[name])) for line in lines if line["upstream"]
        )


def test_each_worker_tells_the_sums_of_all_and_those_of_a_killed_one_stay(
    upstream: ScriptedUpstream, relay: RelayProcess, prometheus: Prometheus, keys: Keys
) -> None:
    upstream.answer(said_by_model(SEED))
    mixed(relay.port, keys, 160, CALLERS, SEED)
    with one_caller_each(relay, WORKERS) as neighbours:
        told = [chats_in(figures_in(caller)) for caller in neighbours.values()]
        assert told == [sum(line["route"] == CHAT for line in lines_of(relay))] * WORKERS
        victim = next(iter(neighbours))
    kill_worker(relay, victim)
    with one_caller_each(relay, WORKERS) as neighbours:
        assert victim not in neighbours
        assert [chats_in(figures_in(caller)) for caller in neighbours.values()] == told
    mixed(relay.port, keys, 160, CALLERS, SEED + 1)

    def is_told() -> bool:
        chats = sum(line["route"] == CHAT for line in lines_of(relay))
        return prometheus.sum(f'sum(relay_requests_total{{route="{CHAT}"}})') == chats

    until(is_told, SETTLED_SECONDS_MAX, "the sum")
    assert prometheus.sum("sum(resets(relay_requests_total[10m]))") == 0


def lines_of(relay: RelayProcess) -> list[Line]:
    """The log without the onlookers'."""
    return [line for line in relay.log_lines() if line["route"] not in OF_ONLOOKERS]


def by(lines: list[Line], name: str) -> dict[Labels, int]:
    return Counter((str(line[name]),) for line in lines if line[name] is not None)


def by_route_status_and_end(lines: list[Line]) -> dict[Labels, int]:
    return Counter((str(x["route"]), str(x["status"]), str(x["end"])) for x in lines)


def counted(prometheus: Prometheus) -> Mapping[Labels, float]:
    """Without the onlookers."""
    rows = prometheus.sums("sum by (route, status, end) (relay_requests_total)", "route", "status", "end")
    return {labels: value for labels, value in rows.items() if labels[0] not in OF_ONLOOKERS}


def entered(relay: RelayProcess) -> dict[Labels, int]:
    """The ledger's rows."""
    with contextlib.closing(sqlite3.connect(relay.database_path)) as database:
        rows = database.execute('SELECT route, status, "end", count(*) FROM usage GROUP BY 1, 2, 3').fetchall()
    return {(route, str(status), end): count for route, status, end, count in rows}


def assert_tokens_and_cost_agree(relay: RelayProcess, prometheus: Prometheus, lines: list[Line]) -> None:
    total = json.loads(relay.command_line("usage", "--json"))["total"]
    tokens = prometheus.sums("sum by (gen_ai_token_type) (gen_ai_client_token_usage_sum)", "gen_ai_token_type")
    assert tokens == {("input",): total["input_tokens"], ("output",): total["output_tokens"]}
    assert total["requests"] == sum(line["key_id"] is not None for line in lines)
    usages = [line["usage"] for line in lines if line["usage"]]
    for kind in ("input", "output"):
        assert tokens[(kind,)] == sum(usage[f"{kind}_tokens"] for usage in usages)  # type: ignore[index]
    assert total["cost_usd"] == pytest.approx(sum(float(str(line["cost_usd"] or 0)) for line in lines))
    priced = prometheus.sums(
        'sum by (gen_ai_token_type) (gen_ai_client_token_usage_sum{model="gpt-test"})', "gen_ai_token_type"
    )
    assert total["cost_usd"] == pytest.approx((2 * priced[("input",)] + 8 * priced[("output",)]) / 1e6)
    assert total["cost_usd"] == pytest.approx(prometheus.sum("sum(relay_cost_usd_total)"))


def assert_equal_at_last(
    one: Callable[[], Mapping[Labels, float]], other: Callable[[], Mapping[Labels, float]]
) -> None:
    """A scrape and a batch of the ledger come once a second."""
    with contextlib.suppress(AssertionError):
        until(lambda: one() == other(), SETTLED_SECONDS_MAX)
    assert one() == other()


def chats_in(figures: Mapping[str, float]) -> float:
    return sum(value for name, value in figures.items() if name.startswith("relay_requests_total") and CHAT in name)
