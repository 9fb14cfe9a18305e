"""A run as a plain SVG: the time to the first text and the speed behind it, a bar for each row."""

from collections.abc import Iterator, Sequence
from html import escape

from relay.core.comparison.rows import DIRECT, Row

LEFT, PANEL, SPACE, TOP, LINE, BAR = 330, 250, 90, 76, 24, 14
WIDTH = LEFT + 2 * PANEL + 2 * SPACE
COLOURS = {DIRECT: "#9ca3af"}
COLOUR = "#2563eb"
STYLE = "text{font:12px system-ui,sans-serif;fill:#1f2937}.head{font-size:15px;font-weight:600}.soft{fill:#6b7280}"


def svg(title: str, subtitle: str, rows: Sequence[Row]) -> str:
    """Return an SVG document. What was not measured has no bar, and says so."""
    height = TOP + LINE * len(rows) + 20
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    body = [f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', _text(16, 24, title, "head")]
    body += [_text(16, 42, subtitle, "soft"), *_panels(rows)]
    body += [_text(16, TOP + LINE * index + 12, row.title) for index, row in enumerate(rows)]
    return "\n".join([head, f"<style>{STYLE}</style>", *body, "</svg>", ""])


def _panels(rows: Sequence[Row]) -> Iterator[str]:
    second = LEFT + PANEL + SPACE
    yield _text(LEFT, TOP - 12, "time to first text, ms: median, line to p95", "soft")
    yield _text(second, TOP - 12, "tokens per second, median", "soft")
    waits = [(row.figures.ttft_ms_p50, row.figures.ttft_ms_p95) for row in rows]
    speeds = [(row.figures.tokens_per_second, row.figures.tokens_per_second) for row in rows]
    for left, values in ((LEFT, waits), (second, speeds)):
        longest = max((far for _, far in values if far), default=1.0)
        for index, (row, (value, far)) in enumerate(zip(rows, values, strict=True)):
            yield from _bar(left, TOP + LINE * index, value, far, PANEL / longest, COLOURS.get(row.way, COLOUR))


def _bar(left: int, top: int, value: float | None, far: float | None, scale: float, colour: str) -> Iterator[str]:  # noqa: PLR0913, PLR0917  (a place and what stands there)
    if value is None or far is None:
        yield _text(left, top + 12, "not measured", "soft")
        return
    middle = top + BAR / 2 + 1
    yield f'<rect x="{left}" y="{top + 1}" width="{max(value * scale, 1):.1f}" height="{BAR}" fill="{colour}"/>'
    yield f'<line x1="{left}" x2="{left + far * scale:.1f}" y1="{middle}" y2="{middle}" stroke="#111827"/>'
    yield _text(left + max(value, far) * scale + 6, top + 12, _shown(value), "soft")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'
