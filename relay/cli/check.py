"""`python -m relay check`: would the relay start, and would it reach what it needs?"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial

import click
import requests

from config.descriptors import claim_descriptors
from config.settings import ConfigError, Settings, Upstream, load
from relay.stores.database import StoreError, open_database
from relay.stores.shared import reachable

SECONDS_MAX = 5.0
Finding = tuple[str, bool, str]


@click.command("check")
@click.option("--offline", is_flag=True, help="Check the configuration alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(offline: bool, as_json: bool) -> None:
    """Check the configuration, the stores and the upstreams."""
    findings = _findings(offline)
    if as_json:
        click.echo(json.dumps([{"what": what, "ok": ok, "detail": detail} for what, ok, detail in findings]))
    else:
        for what, ok, detail in findings:
            click.echo(f"{'ok  ' if ok else 'BAD '} {what}: {detail}")
    sys.exit(0 if all(ok for _, ok, _ in findings) else 1)


def _findings(offline: bool) -> list[Finding]:
    try:
        settings = load()
        claim_descriptors(settings)
    except ConfigError as error:
        return [("configuration", False, problem) for problem in error.problems]
    found: list[Finding] = [("configuration", True, str(settings.config_path))]
    if offline:
        return found
    found.append(_look("database", partial(_ask_database, settings)))
    if settings.stores.redis_url:
        works = reachable(settings.stores.redis_url)
        found.append(("redis", works, "takes writes" if works else "does not answer, or takes no writes"))
    if settings.uses_demo:
        return [*found, ("upstream", True, "the built-in demo")]
    path = settings.health.probe_path
    return [*found, *(_look(f"upstream {u.name}", partial(_ask_upstream, u, path)) for u in settings.upstreams)]


def _look(what: str, ask: Callable[[], str]) -> Finding:
    try:
        return (what, True, ask())
    except (StoreError, requests.RequestException, _Refused) as error:
        return (what, False, str(error) if isinstance(error, StoreError | _Refused) else type(error).__name__)


class _Refused(Exception):
    """The upstream answers, but not as one that works."""


def _ask_database(settings: Settings) -> str:
    database = open_database(settings.stores.database_url)
    try:
        database.create_tables()
    finally:
        database.close()
    return "reachable"


def _ask_upstream(upstream: Upstream, path: str) -> str:
    headers = {"X-API-Key": upstream.api_key} if upstream.auth == "x-api-key" else {}
    if upstream.auth == "bearer" and upstream.api_key:
        headers = {"Authorization": f"Bearer {upstream.api_key}"}
    begun = time.monotonic()
    with requests.Session() as session:
        session.trust_env = False  # no proxy, no .netrc: as the relay itself asks
        answer = session.get(
            upstream.base_url + path,
            headers=headers,
            timeout=SECONDS_MAX,
            allow_redirects=False,
            stream=True,  # the body does not matter, and may not end
            verify=upstream.ca_file or True,
        )
    if not answer.ok or answer.is_redirect:
        raise _Refused(f"answers with status {answer.status_code}")
    return f"answers in {(time.monotonic() - begun) * 1000:.0f} ms"
