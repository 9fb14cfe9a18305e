"""The variables and the secret files, before anything is known of their meaning."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.environment import parse, read_environment, read_secret, read_variable
from config.schema import SECRETS
from config.sources import SECTIONS, Given

NAMES = [f"RELAY_{s}__{name}".upper() for s, kind in SECTIONS.items() for name in kind.__struct_fields__]


@pytest.fixture
def told():
    return []


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("2.5", 2.5), ("true", True), ('"5"', "5"), ("'a'", "a"), ("[1, 2]", [1, 2]), ("{a = 1}", {"a": 1}),
     ('["https://app.example"]', ["https://app.example"]), ("[\n  1,\n]", [1]), ("5 # five", 5), ("1_000", 1000)],
)  # fmt: skip
def test_a_variable_is_read_in_toml_syntax(text, value):
    assert parse(text, wants_text=False) == value


@pytest.mark.parametrize(
    "text",
    ["deny", "https://a.example", "127.0.0.1:8000", "True", "[1", '"open', "a b", "", "=",
     "1\nb = 2", "1\n[section]\nb = 2", "[" * 5000, "9" * 5000],
)  # fmt: skip
def test_what_is_not_one_toml_value_is_a_string(text):
    assert parse(text, wants_text=False) == text


@pytest.mark.parametrize("text", ["4.1", "true", "1" * 32, "1979-05-27", "[x]", "0x10", "inf"])
def test_where_a_string_is_wanted_a_bare_word_stays_one(text):
    assert parse(text, wants_text=True) == text


def test_where_a_string_is_wanted_its_quotes_are_still_taken_off():
    assert parse('"4.1"', wants_text=True) == "4.1"


@given(st.text())
def test_where_a_string_is_wanted_every_text_gives_one(text):
    assert isinstance(parse(text, wants_text=True), str)


@given(st.text())
def test_a_text_is_itself_or_what_toml_makes_of_it(text):
    value = parse(text, wants_text=False)
    assert value == text or value == pytest.approx(tomllib.loads("value = " + text)["value"], nan_ok=True)


def test_an_empty_variable_counts_as_unset(told):
    assert read_variable({"A": ""}, "A", told) is None and read_variable({}, "A", told) is None
    assert told == []


def test_a_variable_that_is_not_utf8_is_a_problem(told):
    assert read_variable({"A": "\udcff"}, "A", told) is None
    assert told == ["A: is not UTF-8 text"]


def test_a_secret_is_read_from_its_variable(told):
    assert read_secret({"KEY": "k"}, "KEY", told) == Given("k", "KEY")


@pytest.mark.parametrize(
    ("content", "secret"),
    [("k\n", "k"), ("k\r\n", "k"), ("k", "k"), ("k\n\n", "k\n"), (" k ", " k "), ('"k"', '"k"'), ("k\r", "k\r")],
)
def test_a_secret_file_loses_its_last_newline_and_nothing_else(secret_file, told, content, secret):
    assert read_secret({"KEY_FILE": secret_file(content)}, "KEY", told) == Given(secret, "KEY_FILE")
    assert told == []


def test_a_secret_given_twice_is_a_problem(secret_file, told):
    read_secret({"KEY": "canary", "KEY_FILE": secret_file("canary")}, "KEY", told)
    assert told == ["KEY: is given twice, by itself and by KEY_FILE; keep one"]


@pytest.mark.parametrize("environ", [{"KEY": ""}, {}])
def test_an_empty_variable_leaves_the_secret_to_its_file(secret_file, told, environ):
    assert read_secret(environ | {"KEY_FILE": secret_file("k")}, "KEY", told) == Given("k", "KEY_FILE")
    assert told == []


def test_an_empty_file_variable_leaves_the_secret_to_its_variable(told):
    assert read_secret({"KEY": "k", "KEY_FILE": ""}, "KEY", told) == Given("k", "KEY")
    assert told == []


def test_a_missing_secret_file_is_a_problem_that_does_not_repeat_the_path(told):
    assert read_secret({"KEY_FILE": "/none/canary"}, "KEY", told) is None
    assert told == ["KEY_FILE: the file it names cannot be read: No such file or directory"]


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_an_empty_secret_file_is_a_problem(secret_file, told, content):
    assert read_secret({"KEY_FILE": secret_file(content)}, "KEY", told) is None
    assert told == ["KEY_FILE: the file it names is empty"]


def test_a_secret_file_that_is_not_utf8_is_a_problem(tmp_path, told):
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    assert read_secret({"KEY_FILE": str(tmp_path / "key")}, "KEY", told) is None
    assert told == ["KEY_FILE: the file it names is not UTF-8 text"]


@pytest.mark.parametrize("variable", NAMES)
def test_every_setting_of_a_section_has_its_variable(told, variable):
    found = read_environment({variable: "word"}, told)
    section, name = variable.removeprefix("RELAY_").lower().split("__")
    assert found[section] == {name: Given("word", variable)} and told == []


@pytest.mark.parametrize("variable", NAMES)
def test_secrets_and_only_secrets_can_come_from_a_file(secret_file, told, variable):
    found = read_environment({f"{variable}_FILE": secret_file("word\n")}, told)
    section, name = variable.removeprefix("RELAY_").lower().split("__")
    if name in SECRETS:
        assert found[section] == {name: Given("word", f"{variable}_FILE")} and told == []
    else:
        assert found[section] == {} and told[0].startswith(f"{variable}_FILE: unknown setting")


@pytest.mark.parametrize(
    ("variable", "section", "name"),
    [
        ("WEB_CONCURRENCY", "server", "workers"),
        ("DATABASE_URL", "stores", "database_url"),
        ("REDIS_URL", "stores", "redis_url"),
    ],
)
def test_a_short_name_is_another_name_of_its_setting(told, variable, section, name):
    assert read_environment({variable: "word"}, told)[section] == {name: Given("word", variable)}


def test_a_short_name_is_read_in_toml_syntax_too(told):
    assert read_environment({"WEB_CONCURRENCY": "4"}, told)["server"] == {"workers": Given(4, "WEB_CONCURRENCY")}


@pytest.mark.parametrize(("variable", "name"), [("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url")])
def test_a_store_url_can_come_from_a_file(secret_file, told, variable, name):
    found = read_environment({f"{variable}_FILE": secret_file("u\n")}, told)
    assert found["stores"] == {name: Given("u", f"{variable}_FILE")}


def test_the_long_name_wins_over_the_short_one(told):
    found = read_environment({"WEB_CONCURRENCY": "4", "RELAY_SERVER__WORKERS": "2"}, told)
    assert found["server"] == {"workers": Given(2, "RELAY_SERVER__WORKERS")}


def test_a_secret_file_is_not_read_as_toml(secret_file, told):
    found = read_environment({"RELAY_AUTH__TOKEN_SECRET_FILE": secret_file('"quoted"')}, told)
    assert found["auth"]["token_secret"].value == '"quoted"'


def test_a_secret_of_digits_stays_a_string(told):
    found = read_environment({"RELAY_AUTH__TOKEN_SECRET": "1" * 32}, told)
    assert found["auth"]["token_secret"].value == "1" * 32


@pytest.mark.parametrize(
    "variable",
    ["RELAY_SERVICE_HOST", "RELAY_PORT", "RELAY_SERVER_WORKERS", "RELAY___X", "RELAY_X__", "XRELAY_A__B", "relay_a__b"],
)
def test_names_of_another_form_are_not_ours(told, variable):
    read_environment({variable: "x"}, told)
    assert told == []


@pytest.mark.parametrize(
    "variable", ["RELAY_FOO__BAR", "RELAY_SERVER__FOO", "RELAY_SERVER__WORKERS__X", "RELAY_server__workers"]
)
def test_an_unknown_name_of_our_form_is_a_problem(told, variable):
    read_environment({variable: "canary"}, told)
    assert [line.partition(":")[0] for line in told] == [variable] and "canary" not in told[0]


def test_an_empty_variable_with_an_unknown_name_is_a_problem_too(told):
    read_environment({"RELAY_SERVER__FOO": ""}, told)
    assert len(told) == 1


def test_a_nearly_right_name_is_told_the_right_one(told):
    read_environment({"RELAY_SERVER__WORKER": "2"}, told)
    assert told == ["RELAY_SERVER__WORKER: unknown setting, did you mean RELAY_SERVER__WORKERS?"]


def test_entries_of_the_upstream_list_cannot_be_named_by_a_variable(told):
    read_environment({"RELAY_UPSTREAMS__BASE_URL": "x"}, told)
    assert len(told) == 1 and "RELAY_CONFIG" in told[0] and "[[upstreams]]" in told[0]
