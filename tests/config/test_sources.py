"""The file, before anything is known of its meaning."""

import pytest

from config.sources import ROOT, from_root, read_file, read_sections, read_upstreams


@pytest.fixture
def told():
    return []


def test_a_missing_file_is_a_problem(tmp_path, told):
    assert read_file(tmp_path / "none.toml", told) == {}
    assert told == [f"{tmp_path}/none.toml: cannot be read: No such file or directory"]


@pytest.mark.parametrize("content", [b"a = ", b"a = 1\na = 2", b"\xff", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000])
def test_a_file_that_is_not_toml_is_a_problem(tmp_path, told, content):
    (tmp_path / "bad.toml").write_bytes(content)
    assert read_file(tmp_path / "bad.toml", told) == {}
    assert len(told) == 1 and "bad.toml: is not TOML" in told[0]


@pytest.mark.parametrize(
    "line", ['token_secret = "canary', 'token_secret = canary', 'token_secret = "canary" x', 'token_secret "canary"',
             'token_secret = "canary"\ntoken_secret = "canary"', 'token_secret = "canary\\q"'],
)  # fmt: skip
def test_a_secret_on_a_broken_line_is_not_repeated(tmp_path, told, line):
    (tmp_path / "bad.toml").write_text(f"[auth]\n{line}\n")
    read_file(tmp_path / "bad.toml", told)
    assert len(told) == 1 and "canary" not in told[0] and "line" in told[0]


def test_an_unknown_section_is_a_problem(tmp_path, told):
    read_sections({"sever": {"workers": 1}, "zzz": 1}, tmp_path, told)
    assert told == [
        f"[sever]: unknown setting, did you mean server? (from {tmp_path})",
        f"[zzz]: unknown setting (from {tmp_path})",
    ]


def test_a_section_that_is_no_table_is_a_problem(tmp_path, told):
    assert read_sections({"server": 5}, tmp_path, told)["server"] == {}
    assert told == [f"[server]: must be a table (from {tmp_path})"]


def test_a_file_without_upstreams_has_one_of_defaults(tmp_path, told):
    assert read_upstreams({}, tmp_path, told) == [{}] and told == []


@pytest.mark.parametrize("upstreams", [[], 5, {"name": "a"}])
def test_upstreams_are_a_list_of_at_least_one(tmp_path, told, upstreams):
    assert read_upstreams({"upstreams": upstreams}, tmp_path, told) == []
    assert told == [f"[[upstreams]]: must be a list of at least one table (from {tmp_path})"]


def test_an_upstream_that_is_no_table_is_a_problem(tmp_path, told):
    read_upstreams({"upstreams": [{}, 5]}, tmp_path, told)
    assert told == [f"[[upstreams]] #2: must be a table (from {tmp_path})"]


def test_relative_paths_count_from_the_project_and_absolute_ones_stay():
    assert from_root("config/relay.toml") == ROOT / "config" / "relay.toml"
    assert str(from_root("/etc/relay.toml")) == "/etc/relay.toml"
