"""The upstream's health as last measured, on a clock that a test moves."""

import pytest

from relay import probe
from relay.core.errors import RelayError
from relay.probe import Health, Probe

TURN_SECONDS = 10.0


class Clock:
    """Stands for the module `time` within the room."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Upstream:
    """Takes `seconds` to answer, or fails with `error`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds, self.asked = 0.0, 0
        self.error: BaseException | None = None

    def ask(self) -> None:
        self.asked += 1
        self._clock.now += self.seconds
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(probe, "time", clock)
    return clock


@pytest.fixture
def upstream(clock: Clock) -> Upstream:
    return Upstream(clock)


@pytest.fixture
def measuring(upstream: Upstream) -> Probe:
    return Probe(upstream.ask, TURN_SECONDS)


def test_nothing_is_claimed_before_the_first_measurement(measuring: Probe, upstream: Upstream) -> None:
    assert measuring.health == Health(None, "not_measured_yet", 0.0)
    assert upstream.asked == 0


def test_a_measurement_is_the_time_that_the_upstream_took(measuring: Probe, upstream: Upstream, clock: Clock) -> None:
    upstream.seconds = 0.25
    measuring.measure()
    assert measuring.health == Health(250.0, None, clock.now)


def test_looking_at_the_health_asks_nobody(measuring: Probe, upstream: Upstream) -> None:
    measuring.measure()
    for _ in range(5):
        assert measuring.health.error is None
    assert upstream.asked == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RelayError("upstream_unreachable", "canary"), "upstream_unreachable"),
        (RelayError("upstream_tls", "canary"), "upstream_tls"),
        (ValueError("canary"), "probe_failed"),
    ],
)
def test_a_failure_is_told_by_its_code_alone(
    measuring: Probe, upstream: Upstream, error: BaseException, told: str
) -> None:
    upstream.error = error
    measuring.measure()
    assert (measuring.health.latency_ms, measuring.health.error) == (None, told)
    assert "canary" not in repr(measuring.health)


def test_an_upstream_that_recovers_is_healthy_again(measuring: Probe, upstream: Upstream) -> None:
    upstream.error = RelayError("upstream_unreachable", "")
    measuring.measure()
    upstream.error = None
    measuring.measure()
    assert measuring.health.error is None


def test_a_measurement_is_good_for_three_turns_and_no_longer(measuring: Probe, clock: Clock) -> None:
    measuring.measure()
    measured_at = clock.now
    clock.now += 3 * TURN_SECONDS
    assert measuring.health.latency_ms == 0.0
    clock.now += 0.001
    assert measuring.health == Health(None, "measurement_is_stale", measured_at)


def test_an_old_failure_stays_the_failure_that_it_was(measuring: Probe, upstream: Upstream, clock: Clock) -> None:
    upstream.error = RelayError("upstream_timeout", "")
    measuring.measure()
    clock.now += 100 * TURN_SECONDS
    assert measuring.health.error == "upstream_timeout"


def test_a_probe_that_is_killed_claims_nothing(measuring: Probe, upstream: Upstream) -> None:
    measuring.measure()
    upstream.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        measuring.measure()
    assert measuring.health.error is None
