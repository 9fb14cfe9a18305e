"""Who is measured: each started in front of the same mock upstream, pinned to the same core, with a key check."""

import os
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import tree
from bench.programs import ROOT, Program, ask_status, free_port, is_listening, run

ORIGIN = "http://localhost:8000"
KEY = "rk_bench"
CONNECTIONS = 20_000
# Nothing is switched off; limits are counted for each request, but out of the way.
POLICY = ("--rpm", "1000000", "--concurrent", "20000", "--tpm", "1000000000000")

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Site:
    """Where a peer is started: its own directory, the upstream's port, the cores of peers and of the load side."""

    directory: Path
    upstream_port: int
    peer_core: int
    load_core: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}/v1"


@dataclass(frozen=True)
class Running:
    """A peer that answers on `port`; its CPU and memory are those of `program` and its children."""

    port: int
    headers: tuple[str, ...]
    program: Program | None = None
    companions: tuple[Program, ...] = field(default=())  # what it cannot do without: its Redis
    path: str = "/v1/chat/completions"
    checks_keys: bool = True

    def pids(self) -> list[int]:
        return tree(self.program.pid) if self.program else []

    def companion_pids(self) -> list[int]:
        return [pid for companion in self.companions for pid in tree(companion.pid)]

    def stop(self) -> None:
        for program in (self.program, *self.companions):
            if program:
                program.stop()


Start = Callable[[Site], Running]


def bearer(key: str) -> tuple[str, ...]:
    """What a browser's caller sends: its key, and where its page came from."""
    return f"Authorization: Bearer {key}", f"Origin: {ORIGIN}"


def start_direct(site: Site) -> Running:
    """No peer: the floor that added times are counted from."""
    return Running(site.upstream_port, bearer(KEY))


def start_nginx(site: Site) -> Running:
    port = free_port()
    text = (ROOT / "bench/nginx.conf").read_text()
    user = "user root;" if os.geteuid() == 0 else ""
    for name, value in {
        "port": port,
        "upstream": site.upstream_port,
        "directory": site.directory,
        "user": user,
    }.items():
        text = text.replace(f"@{name}@", str(value))
    configuration = site.directory / "nginx.conf"
    configuration.write_text(text)
    command = ["nginx", "-p", str(site.directory), "-c", str(configuration), "-e", "stderr"]
    program = Program("nginx", command, site.directory, site.peer_core)
    program.wait_until(lambda: is_listening(port))
    return Running(port, bearer(KEY), program)


def start_naive(site: Site) -> Running:
    port = free_port()
    options = ["-c", "bench/naive.conf.py", "-b", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "gunicorn", *options, "bench.naive:app"]
    program = Program("naive", command, site.directory, site.peer_core, {"UPSTREAM": site.base_url})
    program.wait_until(lambda: ask_status(port, "GET", "/", {}) > 0)
    return Running(port, bearer(KEY), program)


def start_relay(site: Site) -> Running:
    return _start_relay("relay", site)


def start_relay_redis(site: Site) -> Running:
    return _with_redis("relay-redis", site)


def start_relay_kept(site: Site) -> Running:
    """Every stream can be resumed: it is kept in the worker's memory."""
    return _start_relay("relay-kept", site, more_policy=("--resume",))


def start_relay_kept_redis(site: Site) -> Running:
    """Every stream can be resumed by any worker: it is kept in Redis too."""
    return _with_redis("relay-kept-redis", site, more_policy=("--resume",))


def _with_redis(name: str, site: Site, more_policy: tuple[str, ...] = ()) -> Running:
    port = free_port()
    options = f"--port {port} --bind 127.0.0.1 --appendonly no --dir {site.directory}"
    redis = Program(f"{name}-store", ["redis-server", *options.split(), "--save", ""], site.directory, site.load_core)
    try:
        redis.wait_until(lambda: is_listening(port))
        return _start_relay(name, site, {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}, (redis,), more_policy)
    except BaseException:
        redis.stop()
        raise


def connections_max() -> int:
    """As many as its descriptors allow: two for each, and some besides."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(CONNECTIONS, (files - 256) // 2)


def _start_relay(
    name: str,
    site: Site,
    more: Mapping[str, str] = NOTHING,
    companions: tuple[Program, ...] = (),
    more_policy: tuple[str, ...] = (),
) -> Running:
    port = free_port()
    settings = {
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{site.directory}/{name}.db",
        "OPENAI_BASE_URL": site.base_url,
        "OPENAI_API_KEY": "sk-up",
        "RELAY_SERVER__CONNECTIONS_PER_WORKER": str(connections_max()),
        "RELAY_SERVER__LAME_DUCK_SECONDS": "0",
        "RELAY_CORS__ORIGINS": f'["{ORIGIN}"]',
        **more,
    }
    (site.directory / f"{name}.db").unlink(missing_ok=True)
    key = run([sys.executable, "-m", "relay", "keys", "create", "bench", *POLICY, *more_policy], settings).strip()
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"]
    program = Program(name, command, site.directory, site.peer_core, settings)
    program.wait_until(lambda: ask_status(port, "GET", "/health/live", {}) == 200)
    return Running(port, bearer(key), program, companions)


OURS: dict[str, Start] = {
    "direct": start_direct,
    "nginx": start_nginx,
    "naive": start_naive,
    "relay": start_relay,
    "relay-redis": start_relay_redis,
}
# What it costs that streams can be resumed, beside the same relay without.
KEPT: dict[str, Start] = {
    "relay-kept": start_relay_kept,
    "relay-kept-redis": start_relay_kept_redis,
}
