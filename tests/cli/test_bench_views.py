"""What is shown of a run: nothing that was not measured."""

import pytest

from config.schema import Price
from relay.cli.bench_views import notes, print_table, savings_line, view
from relay.core.comparison.figures import Call
from relay.core.comparison.rows import Row, rows
from relay.core.comparison.savings import savings
from relay.core.usage import Usage

WHOLE = [Call("", 0.42, 2.0, Usage(10, 137))] * 2
PRICES = {"a": Price(input=2.0, output=8.0)}


def made(calls: list[Call], model: str = "a") -> list[Row]:
    return rows({(model, "sequential", "relay"): calls, (model, "sequential", "direct"): calls}, PRICES)


def lines(capsys: pytest.CaptureFixture[str], calls: list[Call], model: str = "a") -> list[str]:
    print_table(made(calls, model))
    return capsys.readouterr().out.splitlines()


def test_a_row_has_times_errors_speed_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    title, _, relay, direct, *_ = lines(capsys, WHOLE)
    assert title == "a ($2 in, $8 out per million tokens)"
    assert relay.split() == ["2", "sequential,", "relay", "0.0%", "420.0", "420.0", "+0.0", "68.0", "0.0022"]
    assert direct.split() == ["2", "sequential,", "direct", "0.0%", "420.0", "420.0", "68.0", "0.0022"]


def test_the_table_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert max(map(len, lines(capsys, WHOLE * 5_000, "a"))) <= 80


def test_what_was_not_measured_is_a_question_mark(capsys: pytest.CaptureFixture[str]) -> None:
    title, _, relay, *_ = lines(capsys, [Call("status 500")], "[b]c")
    assert title == "[b]c (price unknown)"
    assert relay.split() == ["1", "sequential,", "relay", "100.0%", "?", "?", "?", "?", "?"]


def test_a_lower_bound_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    calls = [*WHOLE, Call("", 0.42, 2.0)]
    assert ">= 0.0022" in lines(capsys, calls)[2]
    assert "a, sequential, relay: 1 answers without usage; their tokens are not known" in notes(made(calls))


def test_failures_are_told_by_reason() -> None:
    said = notes(made([Call("status 429 rate_limit_exceeded")] * 3 + WHOLE))
    assert said[0] == "a, sequential, relay: 3 x status 429 rate_limit_exceeded"


def test_json_has_null_for_what_is_unknown() -> None:
    shown = view(made([Call("status 500")], "b")[0])
    assert {name for name, value in shown.items() if value is None} == {
        *("ttft_ms_p50", "ttft_ms_p95", "added_ttft_ms", "tokens_per_second", "input_tokens", "output_tokens"),
        *("price_usd_per_million", "cost_usd", "cost_is_complete"),
    }
    known = view(made(WHOLE)[0])
    assert (known["output_tokens"], known["cost_usd"], known["added_ttft_ms"]) == (274, pytest.approx(0.002232), 0.0)


def test_savings_are_a_sentence() -> None:
    line = savings_line("a", "b", savings(2.0, 0.42, 100_000))
    assert "$200,000.00 and $42,000.00: saves $158,000.00 a month (79.0%), $1,896,000.00 a year" in line
    assert "costs $20.00 a month (-200.0%), $240.00 a year" in savings_line("a", "b", savings(1.0, 3.0, 10))
    assert "not known" in savings_line("a", "b", None)
