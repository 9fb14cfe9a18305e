"""What the command line takes, and the order of the peers."""

import pytest

from bench.run import main, order_of


def test_each_round_begins_with_another_peer() -> None:
    rounds = [order_of(["a", "b", "c"], number) for number in range(4)]
    assert rounds == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


@pytest.mark.parametrize("option", ["--peers", "--scenarios"])
def test_an_unknown_name_is_refused_with_the_known_ones(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option, "nginx,nobody"])
    assert ended.value.code == 2
    assert "nobody; known:" in capsys.readouterr().err
