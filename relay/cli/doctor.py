"""`python -m relay doctor`: what the way through the public address does to a stream, and what to change."""

import json
import ssl
import sys
from dataclasses import asdict
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click
from rich.console import Console

from relay.cli.parameters import Origin
from relay.core.diagnosis.evidence import Evidence, Finding
from relay.core.diagnosis.verdict import unchecked, verdict
from relay.core.pace import SILENCE_SECONDS_MAX
from relay.diagnosis.asking import Address
from relay.diagnosis.examination import Order, examine

# The relay shows that it lives after 25 s without an answer, and every 15 s then.
SILENCE_SECONDS = 45


class PublicUrl(click.ParamType[SplitResult]):
    """The address at which callers reach the relay; an SDK's base URL, which ends in /v1, will do."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> SplitResult:
        try:
            url = urlsplit(str(value))
            is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:
            is_good = False
        if not is_good or url.query or url.fragment or "@" in url.netloc:
            self.fail(f"{value!r} is no address like https://relay.example or https://app.example/sse", param, ctx)
        return url._replace(path=url.path.rstrip("/").removesuffix("/v1").rstrip("/"))


@click.command("doctor")
@click.argument("url", type=PublicUrl())
@click.option("--key", envvar="RELAY_KEY", default="", help="A key of the relay's; also from RELAY_KEY.")
@click.option("--origin", type=Origin(), default=None, help="A page's origin: its CORS headers are checked too.")
@click.option("--idle", is_flag=True, help="Try a long silence too.")
@click.option(
    "--silence", type=click.IntRange(1, SILENCE_SECONDS_MAX), default=SILENCE_SECONDS, show_default=True,
    help="Seconds of that silence.",
)  # fmt: skip
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Authorities beside the system's own.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(  # noqa: PLR0913, PLR0917  (one parameter an option)
    url: SplitResult, key: str, origin: str | None, idle: bool, silence: int, ca_file: str | None, as_json: bool
) -> None:
    """Ask the relay through its public URL and name what on the way breaks streams.

    Exit status: 0 all is well, 1 something was found, 2 wrong call. A key makes a few requests of its rate.
    """
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise click.BadParameter("is no key", param_hint="--key")
    evidence = _examined(url, _trusting(ca_file), Order(url.path, key, origin or "", silence if idle else 0))
    findings, left = verdict(evidence), unchecked(evidence)
    if as_json:
        click.echo(json.dumps({"url": url.geturl(), "findings": [asdict(f) for f in findings], "unchecked": left}))
    else:
        _print(findings, left)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
    except (ssl.SSLError, OSError):
        raise click.BadParameter("holds no certificates", param_hint="--ca-file") from None
    return context


def _examined(url: SplitResult, tls: ssl.SSLContext, order: Order) -> Evidence:
    console = Console(stderr=True)
    if not console.is_terminal:
        return examine(Address(url, tls), lambda path: Address(url._replace(path=path), tls), order, lambda _: None)
    with console.status("asking") as status:
        tell = status.update
        return examine(Address(url, tls), lambda path: Address(url._replace(path=path), tls), order, tell)


def _print(findings: list[Finding], left: list[str]) -> None:
    """What is wrong stands out, with what was measured and the line to write; what is well takes one line."""
    for finding in findings:
        if finding.ok:
            click.echo(f"ok   {finding.says} ({finding.measured})")
        else:
            click.echo(f"BAD  {finding.name}: {finding.says}")
            click.echo(f"     measured: {finding.measured}")
            click.echo(f"     to do:    {finding.remedy}")
    for what in left:
        click.echo(f"?    not checked: {what}")
