"""Every setting and its default, under the names of relay.toml. Units stand last in a name.

Nothing is checked when a struct is built by hand: only `load()` checks.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from config.ranges import (
    AuthStyle,
    Bytes,
    BytesOrZero,
    Connections,
    Count,
    Dollars,
    Flag,
    KeepaliveSeconds,
    Label,
    OnStoreError,
    PathPrefix,
    Period,
    Proxies,
    Seconds,
    SecondsOrZero,
    SelftestFrames,
    SelftestMs,
    Text,
    Texts,
    Tokens,
    TokenSeconds,
    UrlPath,
    VariableName,
    Visible,
    Workers,
)

SECRETS = frozenset({"api_key", "token_secret", "metrics_token", "database_url", "redis_url"})
# a password may stand in a URL, and people paste the key itself where its variable's name belongs
NEVER_ECHOED = SECRETS | {"base_url", "api_key_env"}


def _shown(name: str, value: object) -> object:
    if name not in SECRETS or not value:
        return value
    is_harmless = name.endswith("_url") and "@" not in str(value) and "?" not in str(value)
    return value if is_harmless else "***"


class Section(Struct, frozen=True):
    """A struct whose printed form hides what is secret."""

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [(name, _shown(name, getattr(self, name))) for name in self.__struct_fields__]

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({inside})"


class Server(Section, frozen=True):
    """What listens, what stands in front of it, and what one request may weigh."""

    bind: Text = "127.0.0.1:8000"
    workers: Workers = 1
    connections_per_worker: Connections = 2000
    path_prefix: PathPrefix = ""
    trusted_hosts: Texts = ()
    trusted_proxies: Proxies = 0
    keepalive_seconds: KeepaliveSeconds = 75
    lame_duck_seconds: SecondsOrZero = 4
    drain_seconds: Seconds = 120
    body_bytes_max: Bytes = 2_097_152
    multipart_bytes_max: Bytes = 33_554_432
    body_seconds_max: Seconds = 30
    memory_bytes_max: BytesOrZero = 0
    metrics_token: Visible = ""
    log_content: Flag = False


class Cors(Section, frozen=True):
    """Which pages may call. Exact origins."""

    origins: Texts = ("http://localhost:8000", "http://127.0.0.1:8000")
    max_age_seconds: SecondsOrZero = 86400


class Auth(Section, frozen=True):
    """Client tokens and tickets, and failed attempts of one address."""

    token_secret: Text = ""
    token_seconds_max: TokenSeconds = 900
    failures_per_minute: Count = 20


class Limits(Section, frozen=True):
    """What a new key gets; 0 is no limit where it is allowed. `budget_usd` per `budget_per`."""

    rpm: Count = 60
    concurrent: Count = 5
    tpm: Tokens = 0
    budget_usd: Dollars = 0
    budget_per: Period = "month"
    max_output_tokens: Tokens = 0
    on_store_error: OnStoreError = "local"


class Stream(Section, frozen=True):
    """Time limits and buffers of one stream."""

    heartbeat_seconds: Seconds = 15
    early_open_seconds: SecondsOrZero = 25
    connect_seconds_max: Seconds = 5
    first_byte_seconds_max: Seconds = 60
    idle_seconds_max: Seconds = 120
    total_seconds_max: Seconds = 3600
    slow_reader_seconds_max: Seconds = 60
    frame_bytes_max: Bytes = 1_048_576
    pending_bytes_max: Bytes = 262_144


class Resume(Section, frozen=True):
    """What is kept of a resumable stream, and for how long."""

    detach_seconds: SecondsOrZero = 30
    keep_seconds: Seconds = 600
    stream_bytes_max: Bytes = 4_194_304
    process_bytes_max: Bytes = 268_435_456
    ticket_seconds: Seconds = 3600


class Tasks(Section, frozen=True):
    """The pool that works off tasks."""

    default_model: Text = ""
    parallel: Count = 32
    queue_max: Count = 1000
    seconds_max: Seconds = 300


class Stores(Section, frozen=True):
    """Where state lives. `redis_url` "" is this process's memory; a relative SQLite path is the store's to resolve."""

    database_url: Text = "sqlite:///var/relay.db"
    redis_url: Text = ""


class Health(Section, frozen=True):
    """The background probe of an upstream: `base_url` + `probe_path`."""

    probe_seconds: Seconds = 10
    probe_path: UrlPath = "/models"


class Demo(Section, frozen=True):
    """The demo page and what /selftest sends by default."""

    page: Flag = True
    title: Text = ""
    selftest_frames: SelftestFrames = 20
    selftest_interval_ms: SelftestMs = 100


class Price(Section, frozen=True):
    """US dollars per million tokens."""

    input: Dollars
    output: Dollars


def _default_prices() -> dict[str, Price]:
    return {"gpt-4.1": Price(input=2.0, output=8.0)}


class Models(Section, frozen=True):
    """Which models are relayed and what they cost."""

    pass_unknown: Flag = True
    prices: Annotated[dict[str, Price], Meta(description="a table of model names")] = field(
        default_factory=_default_prices
    )


class Upstream(Section, frozen=True):
    """One place that answers. `api_key` comes from the environment, never from the file; "" is no key."""

    name: Label = "default"
    base_url: Text = "https://api.openai.com/v1"
    api_key_env: VariableName = "OPENAI_API_KEY"
    forward_headers: Texts = ("openai-beta", "openai-organization", "anthropic-version", "anthropic-beta")
    auth: AuthStyle = "bearer"
    ca_file: Text = ""
    api_key: str = ""


class Settings(Section, frozen=True):
    """All of it; `Settings()` is the built-in defaults. `config_path` is the TOML file that was read."""

    server: Server = Server()
    cors: Cors = Cors()
    auth: Auth = Auth()
    limits: Limits = Limits()
    stream: Stream = Stream()
    resume: Resume = Resume()
    tasks: Tasks = Tasks()
    stores: Stores = Stores()
    health: Health = Health()
    demo: Demo = Demo()
    models: Models = field(default_factory=Models)
    upstreams: tuple[Upstream, ...] = (Upstream(),)
    config_path: Path = Path()

    @property
    def uses_demo(self) -> bool:
        """Whether there is nothing but the built-in upstream, without a key: then the built-in demo answers."""
        first, *others = self.upstreams
        return not others and not first.api_key and first.base_url == Upstream().base_url
