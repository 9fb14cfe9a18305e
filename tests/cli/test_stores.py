"""What a verb is lent, and how a refusal is told."""

import click
import pytest

from relay.cli.stores import key_store, signer
from relay.core.errors import RelayError
from relay.stores.database import StoreError
from relay.stores.keys import KeyConflict, UnknownKey


@pytest.mark.parametrize(
    "refusal", [StoreError("why"), UnknownKey("why"), KeyConflict("why"), RelayError("invalid_request", "why")]
)
def test_a_refusal_is_one_message(refusal: Exception) -> None:
    with pytest.raises(click.ClickException, match="^why$"), key_store():
        raise refusal


def test_a_defect_is_not_a_refusal() -> None:
    with pytest.raises(KeyError), key_store():
        raise KeyError("why")


def test_a_configuration_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_AUTH__TOKEN_SECRET", "short")
    with pytest.raises(click.ClickException, match="at least 32 bytes"), key_store():
        pytest.fail("it was lent")


def test_the_signer_is_the_same_each_time_and_follows_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def secret() -> str:
        with key_store() as (_, settings):
            return signer(settings).signing_secret("key_1", 1)

    kept = secret()
    assert secret() == kept
    monkeypatch.setenv("RELAY_AUTH__TOKEN_SECRET", "s" * 32)
    assert secret() != kept
