"""A run as a PNG, by matplotlib, which is not among the relay's requirements."""

import math
from collections.abc import Sequence
from pathlib import Path

from relay.core.comparison.rows import Row


class NoMatplotlib(Exception):
    """It is not installed."""


def write_png(path: Path, title: str, subtitle: str, rows: Sequence[Row]) -> None:
    """Draw the two panels of the SVG. Raises NoMatplotlib, OSError."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (only here, and only if it is there)
    except ImportError:
        raise NoMatplotlib from None
    figure = Figure(figsize=(11, 1.6 + 0.35 * len(rows)), layout="constrained")
    figure.suptitle(f"{title}\n{subtitle}", fontsize=10)
    waits, speeds = figure.subplots(1, 2, sharey=True)
    names = [row.title for row in rows]
    firsts = [_drawn(row.figures.ttft_ms_p50) for row in rows]
    lasts = [_drawn(row.figures.ttft_ms_p95) - first for row, first in zip(rows, firsts, strict=True)]
    waits.barh(names, firsts, xerr=[[0.0] * len(rows), lasts])
    waits.set_xlabel("time to first text, ms: median, line to p95")
    speeds.barh(names, [_drawn(row.figures.tokens_per_second) for row in rows])
    speeds.set_xlabel("tokens per second, median")
    waits.set_ylim(len(rows) - 0.5, -0.5)  # the first on top; a row without bars keeps its place
    figure.savefig(path, dpi=120)


def _drawn(value: float | None) -> float:
    """What was not measured has no bar."""
    return math.nan if value is None else value
