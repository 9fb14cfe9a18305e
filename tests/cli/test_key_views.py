"""What the lists show of a key, and how."""

import json
from collections.abc import Callable

from click.testing import Result

Call = Callable[..., Result]


def test_json_is_complete_and_its_times_are_utc(call: Call) -> None:
    assert json.loads(call("keys", "list", "--json").stdout) == []
    call("keys", "create", "web", "--expires", "2999-12-31T23:00:00-01:00")
    [listed] = json.loads(call("keys", "list", "--json").stdout)
    assert listed == json.loads(call("keys", "show", "web", "--json").stdout)
    assert set(listed) == {
        *("id", "name", "prefix", "last4", "state", "created_at", "expires_at", "revoked_at", "policy"),
    }
    assert (listed["state"], listed["revoked_at"]) == ("active", None)
    assert listed["expires_at"] == "3000-01-01T00:00:00+00:00"
    assert listed["created_at"].endswith("+00:00")


def test_the_table_shows_both_ends_of_a_key(call: Call) -> None:
    key = call("keys", "create", "web", "--budget-usd", "3").stdout.strip()
    table = call("keys", "list").stdout
    assert f"{key[:7]}…{key[-4:]}" in table
    assert "never" in table
    lines = call("keys", "show", "web").stdout
    assert "60 rpm, 5 at once, 3 USD a month" in lines
    assert key not in table + lines


def test_a_name_is_shown_as_it_is(call: Call) -> None:
    call("keys", "create", "[red]x[/] 漢字")
    assert "[red]x[/] 漢字" in call("keys", "show", "[red]x[/] 漢字").stdout
    assert "[red]x[/] 漢字" in call("keys", "list").stdout
    assert json.loads(call("keys", "list", "--json").stdout)[0]["name"] == "[red]x[/] 漢字"


def test_only_what_limits_a_key_is_shown(call: Call) -> None:
    call("keys", "create", "free", "--rpm", "0", "--concurrent", "0")
    assert [line.split() for line in call("keys", "show", "free").stdout.splitlines()][-1] == ["limits", "none"]
    call(
        "keys", "create", "bound", "--model", "demo", "--origin", "https://a.example", "--resume", "--detach", "finish"
    )
    shown = dict(line.split(maxsplit=1) for line in call("keys", "show", "bound").stdout.splitlines())
    rest = {name: shown[name].strip() for name in ("models", "origins", "resume", "detach")}
    assert rest == {"models": "demo", "origins": "https://a.example", "resume": "yes", "detach": "finish"}
