"""Figures for Prometheus: one observation per request, under labels that no caller can make grow."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.accounting import Record
from relay.core.usage import Usage
from relay.metrics import Metrics

ROUTE = "/v1/chat/completions"
ANSWERED = Record(
    "req_1", ROUTE, model="gpt-4.1", status=200, frames_out=3, bytes_out=400, usage=Usage(7, 9),
    begun_at=10.0, known_at=10.0005, received_at=10.2005, sent_at=10.201, answered_at=10.5, first_at=10.502,
)  # fmt: skip


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics(["gpt-4.1"])
    metrics.know_routes([ROUTE])
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The sample of this name and these labels, as a Prometheus reads it."""
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_an_answer_is_counted_once_in_every_figure(metrics: Metrics) -> None:
    metrics.observe(ANSWERED, 12.0)
    assert value(metrics, "relay_requests_total", route=ROUTE, status="200", end="done") == 1
    assert value(metrics, "relay_frames_out_total") == 3
    assert value(metrics, "relay_bytes_out_total") == 400
    assert value(metrics, "gen_ai_client_token_usage_sum", gen_ai_token_type="input", model="gpt-4.1") == 7
    assert value(metrics, "gen_ai_client_token_usage_sum", gen_ai_token_type="output", model="gpt-4.1") == 9
    assert value(metrics, "gen_ai_client_operation_duration_seconds_sum", model="gpt-4.1") == 2.0
    first = value(metrics, "gen_ai_client_operation_time_to_first_chunk_seconds_sum", model="gpt-4.1")
    assert first == pytest.approx(0.502)
    assert value(metrics, "relay_overhead_seconds_sum") == pytest.approx(0.003)


def test_a_refusal_is_counted_by_its_code_and_has_no_answer(metrics: Metrics) -> None:
    metrics.observe(Record("req_1", ROUTE, status=401, error="invalid_api_key"), 1.0)
    assert value(metrics, "relay_refusals_total", code="invalid_api_key") == 1
    assert value(metrics, "relay_overhead_seconds_count") == 0


def test_what_was_not_measured_is_not_reported(metrics: Metrics) -> None:
    metrics.observe(replace(ANSWERED, usage=None, first_at=0.0), 12.0)
    assert value(metrics, "gen_ai_client_token_usage_sum", gen_ai_token_type="input", model="gpt-4.1") is None
    assert value(metrics, "relay_overhead_seconds_count") == 0


def test_no_caller_can_make_the_labels_grow(metrics: Metrics) -> None:
    for number in range(50):
        metrics.observe(replace(ANSWERED, model=f"m{number}\n", route=f"/{number}", request_id=f"r{number}"), 12.0)
    assert value(metrics, "gen_ai_client_operation_duration_seconds_count", model="other") == 50
    assert value(metrics, "relay_requests_total", route="unknown", status="200", end="done") == 50
    assert len(metrics.text().splitlines()) < 120


def test_a_gauge_shows_what_somebody_else_keeps(metrics: Metrics) -> None:
    kept = [4.0]
    metrics.gauge("relay_in_flight", "Requests being answered", lambda: kept[0])
    assert value(metrics, "relay_in_flight") == 4.0
    kept[0] = 0.0
    assert value(metrics, "relay_in_flight") == 0.0


def test_two_workers_in_one_process_do_not_share_figures() -> None:
    one, other = Metrics([]), Metrics([])
    one.observe(ANSWERED, 12.0)
    assert value(other, "relay_frames_out_total") == 0


def test_routes_are_unknown_until_they_are_told() -> None:
    metrics = Metrics([])
    metrics.observe(ANSWERED, 12.0)
    metrics.know_routes([ROUTE])
    metrics.observe(ANSWERED, 12.0)
    assert value(metrics, "relay_requests_total", route="unknown", status="200", end="done") == 1
    assert value(metrics, "relay_requests_total", route=ROUTE, status="200", end="done") == 1
