"""The doctor before a real nginx, well configured and badly in each way: what is wrong is named, and nothing else."""

import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relay.core.diagnosis.evidence import Finding
from relay.core.diagnosis.verdict import verdict
from relay.diagnosis.asking import Address
from relay.diagnosis.examination import Order, examine
from tests.live.bench.certificates import make_certificate_files
from tests.live.bench.nginx_row import NginxRow
from tests.live.bench.program import ROOT, clean_environ
from tests.live.bench.relay_process import RelayProcess
from tests.live.bench.upstream import ScriptedUpstream
from tests.live.conftest import SHORT_LIMITS
from tests.live.ways import ORIGIN, WAYS, Way

pytestmark = pytest.mark.alone

ENVIRON = {
    **SHORT_LIMITS,
    "RELAY_STREAM__EARLY_OPEN_SECONDS": "1.5",
    "RELAY_STREAM__HEARTBEAT_SECONDS": "3.5",
    "RELAY_CORS__ORIGINS": f'["{ORIGIN}"]',
}
TLS_WAYS = ("tls trusted", "tls expired", "tls wrong host", "tls self-signed")
AT_ONCE = 30
Commands = Mapping[str, Future[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def relay(module_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    relay = RelayProcess(module_upstream.base_url, tmp_path_factory.mktemp("relay"), ENVIRON)
    try:
        yield relay.wait_ready()
    finally:
        relay.stop()


@pytest.fixture(scope="module")
def certificate_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return make_certificate_files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def nginx(
    relay: RelayProcess, certificate_files: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NginxRow]:
    servers = {name: way.server for name, way in WAYS.items()}
    for name in TLS_WAYS:
        pem = certificate_files[name.removeprefix("tls ")]
        servers[name] = f"ssl_certificate {pem}; ssl_certificate_key {pem}; {WAYS['stock'].server}"
    relayed = {name: server.replace("RELAY", f"127.0.0.1:{relay.port}") for name, server in servers.items()}
    row = NginxRow(relayed, tmp_path_factory.mktemp("nginx"))
    try:
        row.wait_ready()
        yield row
    finally:
        row.stop()


@pytest.fixture(scope="module")
def findings(relay: RelayProcess, key: str, nginx: NginxRow) -> Iterator[Callable[[str], list[Finding]]]:
    """All ways are examined at the same time: what takes long is silence."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked: dict[str, Future[list[Finding]]] = {
            name: pool.submit(found, nginx.ports[name], way, key) for name, way in WAYS.items()
        }
        yield lambda name: asked[name].result(timeout=60)


def found(port: int, way: Way, key: str) -> list[Finding]:
    def address(path: str) -> Address:
        return Address(urlsplit(f"http://127.0.0.1:{port}{path}"), ssl.create_default_context())

    order = Order(way.path, key, way.origin, way.silence_seconds)
    return verdict(examine(address(way.path), address, order, lambda _: None))


@pytest.mark.usefixtures("commands")  # they run meanwhile
@pytest.mark.parametrize("name", WAYS)
def test_what_is_wrong_is_named_with_its_evidence_and_nothing_else_is(
    findings: Callable[[str], list[Finding]], name: str
) -> None:
    wrong = [finding for finding in findings(name) if not finding.ok]
    assert tuple(finding.name for finding in wrong) == WAYS[name].found, wrong
    told = " ".join(f"{finding.says} {finding.measured} {finding.remedy}" for finding in wrong)
    assert WAYS[name].says in told
    assert all(finding.measured and finding.remedy for finding in wrong)


def test_where_all_is_well_all_was_looked_at(findings: Callable[[str], list[Finding]]) -> None:
    looked_at = {finding.name for finding in findings("stock")}
    named = {name for way in WAYS.values() for name in way.found}
    ways_to_fail = named - {"swallowed", "path", "gateway", "redirect", "barred"}
    assert looked_at >= ways_to_fail


@pytest.fixture(scope="module")
def commands(nginx: NginxRow, key: str) -> Iterator[Commands]:
    with ThreadPoolExecutor() as pool:
        address = f"http://127.0.0.1:{nginx.ports['buffering']}/v1", "--key", key
        json_address = f"http://127.0.0.1:{nginx.ports['stock']}", "--key", key, "--origin", ORIGIN, "--json"
        yield {"people": pool.submit(doctor, *address), "programs": pool.submit(doctor, *json_address)}


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "relay", "doctor", *arguments],
        cwd=ROOT, env=clean_environ({}), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command_tells_people_what_to_write(commands: Commands, key: str) -> None:
    done = commands["people"].result(timeout=60)
    assert done.returncode == 1, done.stderr
    assert "BAD  buffering: Something on the way collects the frames." in done.stdout
    assert "to do:    proxy_buffering off;" in done.stdout
    assert "not checked: CORS" in done.stdout
    assert key not in done.stdout + done.stderr


def test_where_all_is_well_the_command_says_so(commands: Commands) -> None:
    done = commands["programs"].result(timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert all(finding["ok"] for finding in told["findings"])
    assert [what.partition(":")[0] for what in told["unchecked"]] == ["idle cuts"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tls trusted", ""),
        ("tls expired", "certificate has expired"),
        ("tls wrong host", "not valid for"),
        ("tls self-signed", "self-signed"),
    ],
)
def test_tls_is_told_apart(nginx: NginxRow, certificate_files: Mapping[str, Path], name: str, why: str) -> None:
    tls = ssl.create_default_context(cafile=str(certificate_files["authority"]))
    address = Address(urlsplit(f"https://127.0.0.1:{nginx.ports[name]}"), tls)
    (finding,) = verdict(examine(address, lambda _: address, Order("", "", ""), lambda _: None))[:1]
    assert (finding.ok, finding.name) == ((False, "tls") if why else (True, "reached"))
    assert why in finding.measured


@pytest.mark.parametrize(("scheme", "name"), [("https", "stock"), ("http", "tls trusted")])
def test_the_wrong_scheme_is_named(nginx: NginxRow, scheme: str, name: str) -> None:
    address = Address(urlsplit(f"{scheme}://127.0.0.1:{nginx.ports[name]}"), ssl.create_default_context())
    (finding,) = verdict(examine(address, lambda _: address, Order("", "", ""), lambda _: None))
    assert (finding.name, finding.ok) == ("tls", False)
    assert "http" in finding.remedy
