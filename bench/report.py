"""The report as text: figures, ratios to nginx, goals, noise, and whatever was relayed wrongly."""

from collections.abc import Iterable, Iterator, Sequence

from bench.figures import BASE, FLOOR, ROWS, Figures, Row, Spread
from bench.goals import Goal, judge
from bench.samples import Sample

DISTURBED = 0.03  # a share of the peers' core


def faulty(samples: Iterable[Sample]) -> list[Sample]:
    """Those with answers that were wrong, not merely late."""
    return [sample for sample in samples if sample.faults]


def report(samples: Sequence[Sample], peers: Sequence[str]) -> str:
    figures = Figures(samples)
    sections = [
        _section("Figures: median (lowest .. highest)", _figure_lines(figures, peers)),
        _section("Ratios to nginx, within each round", _ratio_lines(figures, peers)),
        _section("Goals", _goal_lines(figures)),
        _section("Noise", _noise_lines(samples, figures)),
        _section("Remarks", _remarks(samples)),
        _section("Answers that were wrong", _fault_lines(samples)),
    ]
    return "\n\n".join(section for section in sections if section)


def number(value: float) -> str:
    """Three digits that count; thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _section(title: str, lines: Iterable[str]) -> str:
    body = list(lines)
    return "\n".join([title, "-" * len(title), *body]) if body else ""


def _spread(value: Spread | None) -> str:
    if value is None:
        return "-"
    if value.rounds == 1:
        return number(value.median)
    return f"{number(value.median)} ({number(value.lowest)} .. {number(value.highest)})"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([first, *others]).rstrip()


def _figure_lines(figures: Figures, peers: Sequence[str]) -> Iterator[str]:
    rows = []
    for row in ROWS:
        found = [figures.spread(row.scenario, row.figure, peer) for peer in peers]
        if any(found):
            rows.append([row.scenario, f"{row.title}, {row.unit}", *map(_spread, found)])
    return _grid(["", "", *peers], rows) if rows else iter(())


def _ratio_lines(figures: Figures, peers: Sequence[str]) -> Iterator[str]:
    others = [peer for peer in peers if peer not in {BASE, FLOOR}]
    rows = []
    for row in ROWS:
        found = [figures.ratio(row.scenario, row.figure, peer) for peer in others]
        if any(found):
            rows.append([row.scenario, _titled(row), *map(_spread, found)])
    return _grid(["", "", *others], rows) if rows else iter(())


def _titled(row: Row) -> str:
    return f"{row.title} (more is better)" if row.more_is_better else row.title


def _goal_lines(figures: Figures) -> Iterator[str]:
    rows = [
        [one.goal.title, _limits(one.goal), _spread(one.value), one.goal.unit, one.verdict]
        for one in judge(figures)
    ]  # fmt: skip
    return _grid(["", "must / aim", "measured", "unit", "verdict"], rows)


def _limits(goal: Goal) -> str:
    return f"{'-' if goal.must is None else number(goal.must)} / {number(goal.aim)}"


def _noise_lines(samples: Sequence[Sample], figures: Figures) -> Iterator[str]:
    """How far nginx strays from itself, and how much of the peers' core went elsewhere."""
    for row in ROWS:
        base = figures.spread(row.scenario, row.figure, BASE) if row.figure.startswith("cpu") else None
        if base and base.rounds > 1 and base.lowest > 0:
            yield f"{row.scenario}: nginx's own CPU varies by {base.highest / base.lowest - 1:.0%} between rounds"
    for scenario in dict.fromkeys(sample.scenario for sample in samples):
        shares = [one.foreign_share for one in samples if one.scenario == scenario and one.peer != FLOOR]
        if disturbed := sum(share > DISTURBED for share in shares):
            worst = f"up to {max(shares):.0%} of the peers' core"
            yield f"{scenario}: disturbed in {disturbed} of {len(shares)} runs, others took {worst}"


def _remarks(samples: Iterable[Sample]) -> Iterator[str]:
    for sample in samples:
        where = f"round {sample.round}, {sample.scenario}, {sample.peer}"
        if sample.note:
            yield f"{where}: {sample.note}"
        if sample.unfinished:
            yield f"{where}: {sample.unfinished} answers did not end in time"


def _fault_lines(samples: Iterable[Sample]) -> Iterator[str]:
    for sample in faulty(samples):
        told = ", ".join(f"{count} {name}" for name, count in sample.faults.items())
        yield f"round {sample.round}, {sample.scenario}, {sample.peer}: {told}"
