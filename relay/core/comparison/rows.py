"""The figures of a run as rows, the relay's beside those of its upstream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.core.comparison.figures import Call, Figures, Price, figures

RELAY, DIRECT = "relay", "direct"


@dataclass(frozen=True, slots=True)
class Row:
    """`added_ms`: how much later the first text comes through the relay, by the medians; None where not measured."""

    model: str
    kind: str
    way: str
    figures: Figures
    price: Price | None
    added_ms: float | None

    @property
    def title(self) -> str:
        return f"{self.model}, {self.kind}, {self.way}"


def rows(calls: Mapping[tuple[str, str, str], Sequence[Call]], prices: Mapping[str, Price]) -> list[Row]:
    """In the order of `calls`, whose keys are model, kind of run and way."""
    measured = {place: figures(made, prices.get(place[0])) for place, made in calls.items()}
    made = []
    for (model, kind, way), own in measured.items():
        direct = measured.get((model, kind, DIRECT)) if way == RELAY else None
        made.append(Row(model, kind, way, own, prices.get(model), _added(own, direct)))
    return made


def per_call_usd(made: Sequence[Row], model: str) -> float | None:
    """What a call of this model cost on average, over all whose usage was told; None without a price or any usage."""
    known = [row.figures for row in made if row.model == model]
    costs = [(own.cost.usd, own.with_usage) for own in known if own.cost is not None]
    calls = sum(count for _, count in costs)
    return sum(usd for usd, _ in costs) / calls if calls else None


def _added(own: Figures, direct: Figures | None) -> float | None:
    if direct is None or own.ttft_ms_p50 is None or direct.ttft_ms_p50 is None:
        return None
    return own.ttft_ms_p50 - direct.ttft_ms_p50
