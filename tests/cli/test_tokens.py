"""`python -m relay tokens`, and the secret that `keys show` tells: whatever is minted here the server takes."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from click.testing import Result

from relay.stores.keys import KeyStore
from relay.stores.secret import open_secret
from relay.tokens import TokenSigner

Call = Callable[..., Result]


@pytest.fixture
def signer(tmp_path: Path) -> TokenSigner:
    return TokenSigner(open_secret("", f"sqlite:///{tmp_path}/relay.db"))


@pytest.fixture(autouse=True)
def key(call: Call) -> None:
    call("keys", "create", "web", "--model", "gpt-test", "--concurrent", "3")


def test_a_token_stands_alone_on_standard_output(call: Call, store: KeyStore, signer: TokenSigner) -> None:
    minted = call("tokens", "mint", "web")
    token, record = minted.stdout.removesuffix("\n"), store.get("web")
    claims = signer.read(token, record.id, record.epoch)
    assert claims is not None
    assert (minted.exit_code, token[:3], claims.exp - claims.iat) == (0, "ek_", 600)
    assert abs(claims.iat - time.time()) < 10
    assert claims.jti in minted.stderr
    assert token not in minted.stderr


def test_everything_that_a_token_may_say_can_be_asked_for(call: Call, store: KeyStore, signer: TokenSigner) -> None:
    asked = ["--sub", "user-42", "--seconds", "60", "--model", "gpt-test", "--scope", "chat", "--scope", "tasks"]
    asked += ["--origin", "https://app.example", "--requests", "20", "--tokens", "2000", "--cost-usd", "0.1"]
    minted = call("tokens", "mint", "web", *asked, "--concurrent", "2", "--max-output-tokens", "100", "--json")
    fields, record = json.loads(minted.stdout), store.get("web")
    claims = signer.read(fields["value"], record.id, record.epoch)
    assert claims is not None
    assert (fields["object"], fields["id"], fields["expires_at"]) == ("relay.client_secret", claims.jti, claims.exp)
    assert (claims.sub, claims.models, claims.scopes) == ("user-42", ("gpt-test",), ("chat", "tasks"))
    assert (claims.origins, claims.max_output_tokens, claims.exp - claims.iat) == (("https://app.example",), 100, 60)
    limits = claims.limits
    assert (limits.requests, limits.tokens, limits.concurrent, limits.cost_usd) == (20, 2000, 2, 0.1)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (["--model", "gpt-other"], 1),
        (["--concurrent", "4"], 1),
        (["--seconds", "901"], 1),
        (["--seconds", "9"], 1),
        (["--scope", "admin"], 2),
        (["--requests", "0"], 2),
        (["--cost-usd", "0"], 2),
        (["--origin", "*"], 2),
        (["--sub", "a\nb"], 2),
    ],
)
def test_more_than_the_key_may_is_refused(call: Call, asked: list[str], status: int) -> None:
    refused = call("tokens", "mint", "web", *asked)
    assert (refused.exit_code, refused.stdout) == (status, "")
    assert "Error: " in refused.stderr


def test_a_key_that_is_not_in_force_mints_nothing(call: Call) -> None:
    assert call("tokens", "mint", "nobody").exit_code == 1
    call("keys", "revoke", "web")
    for refused in (call("tokens", "mint", "web"), call("keys", "show", "web", "--signing-secret")):
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "revoked" in refused.stderr


def test_the_signing_secret_stands_alone_and_signs_what_the_server_takes(
    call: Call, store: KeyStore, signer: TokenSigner
) -> None:
    shown, record, now = call("keys", "show", "web", "--signing-secret"), store.get("web"), int(time.time())
    secret = shown.stdout.removesuffix("\n")
    claims = {"iss": "relay", "aud": "relay", "jti": "1", "iat": now, "exp": now + 60}
    token = "ek_" + jwt.encode(claims, secret, "HS256", headers={"kid": record.id})
    assert signer.read(token, record.id, record.epoch) is not None
    assert (secret in shown.stderr, record.id in shown.stderr) == (False, True)
    assert secret not in call("keys", "show", "web").stdout + call("keys", "show", "web", "--json").stdout


def test_ending_a_keys_tokens_makes_its_secret_another(call: Call, store: KeyStore, signer: TokenSigner) -> None:
    token = call("tokens", "mint", "web").stdout.strip()
    before = call("keys", "show", "web", "--signing-secret").stdout
    ended, record = call("tokens", "end", "web"), store.get("web")
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert call("keys", "show", "web", "--signing-secret").stdout != before
    assert signer.read(token, record.id, record.epoch) is None
    assert signer.read(call("tokens", "mint", "web").stdout.strip(), record.id, record.epoch) is not None
    assert call("tokens", "end", "nobody").exit_code == 1
