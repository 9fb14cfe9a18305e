"""The fixed table of relayed routes.

An upstream's URL is built from this table alone, never from what a caller sent.
"""

from dataclasses import dataclass

from relay.core.dialects import ANTHROPIC, MEDIA, OPENAI, RESPONSES, Dialect


@dataclass(frozen=True, slots=True)
class Route:
    """One relayed route: where it is found here, and where its requests go below the upstream's base URL."""

    path: str
    upstream_path: str
    method: str = "POST"
    dialect: Dialect = OPENAI
    always_streams: bool = False
    flat_errors: bool = False
    multipart: bool = False
    usage_on_request: bool = False  # its streams tell the usage only when asked (OpenAI: `stream_options`)
    scope: str = "chat"  # what a client token must cover; empty: every token may, and nothing is billed
    output_bounds: tuple[str, ...] = ()  # the members that bound what is generated; set in the first where none is
    output_default: int = 0  # what an absent bound means here


CHAT_BOUNDS = ("max_tokens", "max_completion_tokens")
SEED_TOKENS_MAX = 2000
CHAT = Route("/v1/chat/completions", "/chat/completions", usage_on_request=True, output_bounds=CHAT_BOUNDS)
SEED_CHAT = Route(
    "/api/chat/stream",
    "/chat/completions",
    always_streams=True,
    flat_errors=True,
    usage_on_request=True,
    output_bounds=CHAT_BOUNDS[:1],
    output_default=SEED_TOKENS_MAX,
)
TASKS = Route(  # in OpenAI's dialect, whatever it came with
    "/v1/tasks",
    "/chat/completions",
    scope="tasks",
    output_bounds=CHAT_BOUNDS[:1],
    output_default=SEED_TOKENS_MAX,
)
MODELS = Route("/v1/models", "/models", method="GET", scope="")

ROUTES = (
    CHAT,
    Route("/v1/completions", "/completions", usage_on_request=True, output_bounds=("max_tokens",)),
    Route("/v1/responses", "/responses", dialect=RESPONSES, output_bounds=("max_output_tokens",)),
    Route("/v1/messages", "/messages", dialect=ANTHROPIC, output_bounds=("max_tokens",)),
    Route("/v1/embeddings", "/embeddings"),
    Route("/v1/moderations", "/moderations"),
    Route("/v1/audio/speech", "/audio/speech", dialect=MEDIA),
    Route("/v1/audio/transcriptions", "/audio/transcriptions", dialect=MEDIA, multipart=True),
    Route("/v1/audio/translations", "/audio/translations", dialect=MEDIA, multipart=True),
    Route("/v1/images/generations", "/images/generations", dialect=MEDIA),
    Route("/v1/images/edits", "/images/edits", dialect=MEDIA, multipart=True),
    MODELS,
    SEED_CHAT,
)
