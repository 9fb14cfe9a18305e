"""The backend in docs/browser.md is run as it stands there: what it mints the relay takes."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from relay.tokens import TokenSigner

DOC = (Path(__file__).parents[1] / "docs" / "browser.md").read_text()
KEY = "key_0000000000000001"
LINES_MAX = 15


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)[number]


def test_the_flask_backend_mints_what_the_relay_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = TokenSigner(b"s" * 32)
    monkeypatch.setenv("RELAY_KEY_ID", KEY)
    monkeypatch.setenv("RELAY_SIGNING_SECRET", signer.signing_secret(KEY, 1))
    backend = ModuleType("backend_of_the_docs")
    monkeypatch.setitem(sys.modules, backend.__name__, backend)
    backend.__dict__["signed_in_user"] = lambda: SimpleNamespace(id="user-42")
    exec(compile(block("python"), "docs/browser.md", "exec"), backend.__dict__)
    fields = backend.__dict__["app"].test_client().post("/api/token").get_json()
    claims = signer.read(fields["token"], KEY, 1)
    assert claims is not None
    assert (claims.sub, claims.exp, claims.limits.requests) == ("user-42", fields["expires_at"], 20)


@pytest.mark.parametrize("code", [block("python"), block("js")], ids=["Flask", "Express"])
def test_a_backend_is_as_short_as_is_said(code: str) -> None:
    assert len([line for line in code.splitlines() if line.strip()]) <= LINES_MAX
