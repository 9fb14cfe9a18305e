"""`python -m relay bench`: what models take and cost, through the relay and straight at the upstream."""

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import SplitResult

import click
from rich.console import Console
from rich.progress import Progress

from config.settings import ConfigError, load
from relay.cli import bench_views
from relay.cli.bench_ways import way_straight, way_through
from relay.cli.doctor import PublicUrl
from relay.cli.key_views import as_json
from relay.comparison.calling import Way
from relay.comparison.picture import NoMatplotlib, write_png
from relay.comparison.plot import svg
from relay.comparison.running import Plan, Run, Runner
from relay.core.comparison.rows import Row, per_call_usd, rows
from relay.core.comparison.savings import Savings, savings
from relay.stores.database import StoreError


@dataclass(frozen=True)
class Options:
    """What was asked for, beside the plan."""

    direct: bool
    url: SplitResult | None
    key: str
    as_json: bool
    plot: Path | None
    title: str
    pair: tuple[str, str] | None
    calls_per_month: int


@click.command("bench")
@click.option("--model", "models", multiple=True, required=True, help="A model to call; repeatable.")
@click.option("--requests", type=click.IntRange(1, 10_000), default=100, show_default=True, help="One after another.")
@click.option(
    "--output-tokens", type=click.IntRange(1, 100_000), default=500, show_default=True, help="Of each answer."
)
@click.option("--parallel", type=click.IntRange(0, 100), default=10, show_default=True, help="Then at once; 0: none.")
@click.option("--seconds-max", type=click.IntRange(1, 86_400), default=1_800, show_default=True, help="For all of it.")
@click.option("--direct", is_flag=True, help="Also straight at the first upstream: the relay's share is a column.")
@click.option("--url", type=PublicUrl(), help="The relay; else the one of this configuration.")
@click.option("--key", envvar="RELAY_KEY", default="", help="Its key (or RELAY_KEY); else one for this run alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw them too: FILE.svg, or FILE.png.")
@click.option("--title", default="relay bench", show_default=True, help="Of the plot.")
@click.option("--savings", help="A:B, two of the models: what the second one saves.")
@click.option("--calls-per-month", type=click.IntRange(1, 10**10), help="How many calls that is about.")
def command(
    models: tuple[str, ...], requests: int, output_tokens: int, parallel: int, seconds_max: int, **more: object
) -> None:
    """Call models, one request after another and then at once, and show times, errors and cost.

    The calls are real and cost what they cost. Tokens are the upstream's own count; "?" is what was not measured.
    Exit status: 0 measured, 1 no answer was whole, 2 wrong call.
    """
    options = _options(models, **more)
    plan = Plan(tuple(dict.fromkeys(models)), requests, output_tokens, parallel, seconds_max)
    try:
        settings = load()
        straight = [way_straight(settings)] if options.direct else []
        with way_through(settings, options.url, options.key, plan.models) as through:
            done = _run(plan, [through, *straight])
    except (ConfigError, StoreError) as refusal:
        raise click.ClickException(str(refusal)) from None
    made = rows(done.calls, settings.models.prices)
    _show(made, done, options)
    sys.exit(0 if any(row.figures.requests > sum(row.figures.failures.values()) for row in made) else 1)


def _options(models: tuple[str, ...], **given: object) -> Options:
    savings_, calls, plot = given.pop("savings"), given.pop("calls_per_month"), given["plot"]
    if (savings_ is None) != (calls is None):
        raise click.UsageError("--savings and --calls-per-month belong together.")
    if isinstance(plot, Path) and plot.suffix not in (".svg", ".png"):
        raise click.BadParameter("must end in .svg or .png", param_hint="--plot")
    if given["url"] is not None and not given["key"]:
        raise click.UsageError("--url needs --key: a key for this run alone is made in this configuration's database.")
    pair = None if savings_ is None else _pair(str(savings_), models)
    return Options(**given, pair=pair, calls_per_month=int(str(calls or 0)))  # type: ignore[arg-type]


def _pair(text: str, models: tuple[str, ...]) -> tuple[str, str]:
    """The two models; a colon may also stand within a name."""
    parts = text.split(":")
    for cut in range(1, len(parts)):
        first, second = ":".join(parts[:cut]), ":".join(parts[cut:])
        if first in models and second in models:
            return first, second
    raise click.BadParameter("must be A:B, two of the models that are called", param_hint="--savings")


def _run(plan: Plan, ways: list[Way]) -> Run:
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("calling", total=plan.total(len(ways)))
        return Runner(plan, ways, lambda: progress.advance(task)).run()


def _show(made: list[Row], done: Run, options: Options) -> None:
    saved = _saved(made, options)
    if options.as_json:
        told = None if options.pair is None or saved is None else {**asdict(saved), "month_usd": saved.month_usd}
        shown = {"rows": [bench_views.view(row) for row in made], "savings": told, "cut_short": done.cut_short}
        click.echo(as_json(shown))
    else:
        bench_views.print_table(made)
        for note in bench_views.notes(made):
            click.echo(note)
        if done.cut_short:
            click.echo("The time was up (--seconds-max) before all calls were made.")
        if options.pair is not None:
            click.echo(bench_views.savings_line(*options.pair, saved))
    if options.plot is not None:
        _draw(options.plot, options.title, made)


def _saved(made: list[Row], options: Options) -> Savings | None:
    if options.pair is None:
        return None
    first, second = (per_call_usd(made, model) for model in options.pair)
    return savings(first, second, options.calls_per_month)


def _draw(path: Path, title: str, made: list[Row]) -> None:
    subtitle = f"{time.strftime('%Y-%m-%d')}, {sum(row.figures.requests for row in made):,} calls"
    try:
        if path.suffix == ".svg":
            path.write_text(svg(title, subtitle, made))
        else:
            write_png(path, title, subtitle, made)
    except NoMatplotlib:
        raise click.ClickException("A PNG needs matplotlib (pip install matplotlib); an SVG needs nothing.") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
