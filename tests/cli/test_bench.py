"""What the bench's command takes, and what it answers to a wrong call."""

import json
from pathlib import Path

import pytest

from relay.stores.keys import KeyStore
from tests.cli.conftest import Call
from tests.live.bench.ports import free_port

MODELS = ("--model", "a", "--model", "b:8b")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [*MODELS, "--requests", "0"],
        [*MODELS, "--requests", "10001"],
        [*MODELS, "--parallel", "101"],
        [*MODELS, "--seconds-max", "0"],
        [*MODELS, "--plot", "x.pdf"],
        [*MODELS, "--savings", "a:b:8b"],
        [*MODELS, "--calls-per-month", "7"],
        [*MODELS, "--savings", "a:c", "--calls-per-month", "7"],
        [*MODELS, "--url", "https://relay.example"],
        [*MODELS, "--direct"],
    ],
)
def test_a_wrong_call_is_one(call: Call, arguments: list[str]) -> None:
    assert call("bench", *arguments).exit_code == 2


def test_where_nobody_answers_nothing_was_measured(
    call: Call, store: KeyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    plot = tmp_path / "x.svg"
    short = ("--requests", "2", "--parallel", "1", "--plot", str(plot))
    result = call("bench", *MODELS, *short, "--savings", "a:b:8b", "--calls-per-month", "7", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [(row["model"], row["run"], row["requests"]) for row in told["rows"]] == [
        *(("a", "sequential", 2), ("a", "parallel", 1), ("b:8b", "sequential", 2), ("b:8b", "parallel", 1)),
    ]
    assert {row["error_rate"] for row in told["rows"]} == {1.0}
    assert (told["savings"], told["cut_short"]) == (None, False)
    assert "not measured" in plot.read_text()
    assert [record.state(0) for record in store.list()] == ["revoked"]


def test_a_plot_that_cannot_be_written_is_told(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    result = call("bench", *MODELS, "--requests", "1", "--parallel", "0", "--plot", str(tmp_path / "no" / "x.svg"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
