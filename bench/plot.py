"""The ratios to nginx as a plain SVG: a group of bars for each figure, on a logarithmic scale."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.figures import BASE, FLOOR, ROWS, Figures, Row, Spread

COLOURS = ("#2563eb", "#60a5fa", "#d97706", "#7c3aed", "#db2777", "#059669")
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
LEFT, RIGHT, TOP, BAR, GAP, WIDTH = 300, 110, 64, 14, 14, 980
STYLE = "text{font:12px system-ui,sans-serif;fill:#1f2937}.head{font-size:15px;font-weight:600}.soft{fill:#6b7280}"


class _Scale:
    """Ratios to horizontal pixels, over the ticks that hold them all."""

    def __init__(self, ratios: Sequence[float]) -> None:
        lowest, highest = min([*ratios, 0.5]), max([*ratios, 2.0])
        self.low = max((tick for tick in TICKS if tick <= lowest), default=TICKS[0])
        self.high = min((tick for tick in TICKS if tick >= highest), default=TICKS[-1])

    def ticks(self) -> list[float]:
        return [tick for tick in TICKS if self.low <= tick <= self.high]

    def x(self, ratio: float) -> float:
        inside = min(max(ratio, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def plot(figures: Figures, peers: Sequence[str]) -> str:
    """An SVG document; a peer or a figure that was not measured is left out."""
    others = [peer for peer in peers if peer not in {BASE, FLOOR}]
    groups = [(row, bars) for row in ROWS if (bars := _bars(figures, row, others))]
    edges = [edge for _, bars in groups for _, ratio in bars for edge in (ratio.lowest, ratio.highest) if edge > 0]
    scale = _Scale(edges)
    height = TOP + sum(len(bars) * BAR + GAP for _, bars in groups) + 30
    body = [*_frame(scale, height), *_legend(others)]
    top = TOP
    for row, bars in groups:
        body += _group(scale, row, bars, top, others)
        top += len(bars) * BAR + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *body, "</svg>", ""])


def _bars(figures: Figures, row: Row, peers: Sequence[str]) -> list[tuple[str, Spread]]:
    found = ((peer, figures.ratio(row.scenario, row.figure, peer)) for peer in peers)
    return [(peer, ratio) for peer, ratio in found if ratio]


def _frame(scale: _Scale, height: int) -> Iterator[str]:
    yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    yield _text(16, 24, "Ratios to nginx in the same round: median, lowest to highest", "head")
    for tick in scale.ticks():
        x = scale.x(tick)
        stroke = "#111827" if tick == 1 else "#e5e7eb"
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 26}" stroke="{stroke}"/>'
        yield _text(x, height - 10, f"{tick:g}", "soft", "middle")


def _legend(peers: Sequence[str]) -> Iterator[str]:
    for index, peer in enumerate(peers):
        x = LEFT + 120 * index
        yield f'<rect x="{x}" y="36" width="10" height="10" fill="{_colour(index)}"/>'
        yield _text(x + 15, 45, peer)


def _group(
    scale: _Scale, row: Row, bars: Sequence[tuple[str, Spread]], top: int, peers: Sequence[str]
) -> Iterator[str]:
    middle = top + len(bars) * BAR / 2 + 4
    hint = " (more is better)" if row.more_is_better else ""
    yield _text(16, middle, f"{row.scenario}  {row.title}{hint}")
    for index, (peer, ratio) in enumerate(bars):
        yield from _bar(scale, ratio, top + index * BAR, _colour(peers.index(peer)))


def _bar(scale: _Scale, ratio: Spread, top: int, colour: str) -> Iterator[str]:
    """From 1 to the median; a thin line from the lowest to the highest round."""
    one, end = scale.x(1), scale.x(ratio.median)
    left, width = min(one, end), max(abs(end - one), 1)
    y = top + BAR / 2
    yield f'<rect x="{left:.1f}" y="{top + 1}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>'
    low, high = scale.x(ratio.lowest), scale.x(ratio.highest)
    yield f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="#111827"/>'
    yield _text(max(end, high, one) + 6, y + 4, f"{ratio.median:.2f} ×", "soft")


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]
