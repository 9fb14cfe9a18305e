"""The ways of a bench: which address, which credential, and a key that does not outlive it."""

from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from msgspec.structs import replace

from config.schema import Server, Stores, Upstream
from config.settings import Settings
from relay.cli.bench_ways import way_straight, way_through
from relay.stores.keys import KeyStore


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    stores = Stores(database_url=f"sqlite:///{tmp_path}/relay.db")
    upstream = Upstream(base_url="https://llm.example/v1", api_key="sk-x")
    return replace(Settings(stores=stores, server=Server(bind="0.0.0.0:8123")), upstreams=(upstream,))


def test_without_a_key_one_is_made_for_these_models_and_revoked(settings: Settings, store: KeyStore) -> None:
    with way_through(settings, None, "", ["a", "b"]) as way:
        (record,) = store.list()
        assert (record.revoked_at, record.policy.models, record.policy.rpm) == (None, ("a", "b"), 0)
        assert way.base.geturl() == "http://127.0.0.1:8123/v1"
        assert way.headers["Authorization"].startswith("Bearer rk_")
    assert store.list()[0].revoked_at is not None


def test_a_run_that_fails_leaves_no_key(settings: Settings, store: KeyStore) -> None:
    with pytest.raises(KeyboardInterrupt), way_through(settings, None, "", ["a"]):
        raise KeyboardInterrupt
    assert store.list()[0].revoked_at is not None


def test_a_key_that_is_given_is_used_and_none_is_made(settings: Settings, store: KeyStore) -> None:
    with way_through(settings, urlsplit("https://relay.example/sse"), "rk_mine", ["a"]) as way:
        assert (way.base.geturl(), way.headers) == (
            "https://relay.example/sse/v1",
            {"Authorization": "Bearer rk_mine"},
        )
    assert not store.list()


@pytest.mark.parametrize(
    ("upstream", "headers"),
    [
        (Upstream(base_url="https://a.example/v1", api_key="sk-1"), {"Authorization": "Bearer sk-1"}),
        (Upstream(base_url="https://a.example/v1", api_key="sk-1", auth="x-api-key"), {"X-API-Key": "sk-1"}),
        (Upstream(base_url="https://a.example/v1"), {}),
    ],
)
def test_straight_is_the_first_upstream_with_its_own_credential(upstream: Upstream, headers: dict[str, str]) -> None:
    way = way_straight(Settings(upstreams=(upstream,)))
    assert (way.name, way.base.geturl(), way.headers) == ("direct", "https://a.example/v1", headers)


def test_the_demo_within_the_relay_cannot_be_called_straight() -> None:
    with pytest.raises(click.UsageError, match="demo-upstream"):
        way_straight(Settings())
