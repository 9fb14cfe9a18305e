"""The table of routes: what the contract names, and nothing that a caller could bend."""

import re

import pytest

from relay.core.dialects import ANTHROPIC, MEDIA, OPENAI, RESPONSES
from relay.core.routes import MODELS, ROUTES, SEED_CHAT, Route

BY_PATH = {route.path: route for route in ROUTES}
POSTED = ["chat/completions", "completions", "responses", "messages", "embeddings", "moderations"]
MEDIA_ROUTES = ["audio/speech", "audio/transcriptions", "audio/translations", "images/generations", "images/edits"]


def test_every_relayed_route_of_the_contract_is_there_and_no_path_stands_twice() -> None:
    assert set(BY_PATH) == {f"/v1/{name}" for name in (*POSTED, *MEDIA_ROUTES, "models")} | {"/api/chat/stream"}
    assert len(BY_PATH) == len(ROUTES)


@pytest.mark.parametrize("name", [*POSTED, *MEDIA_ROUTES])
def test_a_route_goes_to_the_same_place_below_the_base_url(name: str) -> None:
    route = BY_PATH[f"/v1/{name}"]
    assert (route.upstream_path, route.method) == (f"/{name}", "POST")


def test_the_list_of_models_is_a_get() -> None:
    assert (MODELS.path, MODELS.upstream_path, MODELS.method) == ("/v1/models", "/models", "GET")
    assert [route for route in ROUTES if route.method != "POST"] == [MODELS]


def test_the_seed_route_is_a_chat_that_always_streams_with_flat_errors() -> None:
    assert BY_PATH["/api/chat/stream"] is SEED_CHAT
    assert SEED_CHAT.upstream_path == "/chat/completions"
    assert [route for route in ROUTES if route.always_streams] == [SEED_CHAT]
    assert [route for route in ROUTES if route.flat_errors] == [SEED_CHAT]


def test_each_route_speaks_the_dialect_of_its_api() -> None:
    assert BY_PATH["/v1/messages"].dialect is ANTHROPIC
    assert BY_PATH["/v1/responses"].dialect is RESPONSES
    assert all(BY_PATH[f"/v1/{name}"].dialect is MEDIA for name in MEDIA_ROUTES)
    openai = ("/v1/chat/completions", "/v1/completions", "/api/chat/stream")
    assert all(BY_PATH[path].dialect is OPENAI for path in openai)


def test_only_uploads_may_be_multipart() -> None:
    uploads = ["/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits"]
    assert [route.path for route in ROUTES if route.multipart] == uploads


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_an_upstreams_path_is_fixed_and_plain(route: Route) -> None:
    assert re.fullmatch(r"(/[a-z]+)+", route.upstream_path)
    assert re.fullmatch(r"(/[a-z0-9]+)+", route.path)


def test_only_the_routes_that_know_stream_options_are_asked_for_their_usage() -> None:
    asked = ["/v1/chat/completions", "/v1/completions", "/api/chat/stream"]
    assert [route.path for route in ROUTES if route.usage_on_request] == asked
