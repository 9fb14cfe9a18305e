"""Entries of [[upstreams]], where their keys come from, and what several of them owe each other."""

import pytest
import trustme

from config import load

TWO = """
[[upstreams]]
name = "a"
api_key_env = "A_KEY"
[[upstreams]]
name = "b"
base_url = "http://127.0.0.1:9000/"
api_key_env = "B_KEY"
auth = "x-api-key"
forward_headers = ["Anthropic-Version"]
"""


def only(environ):
    (upstream,) = load(environ).upstreams
    return upstream


def test_the_key_comes_from_the_variable_that_the_entry_names(written):
    upstreams = load(written(TWO, A_KEY="key-a", B_KEY="key-b")).upstreams
    assert [(u.name, u.api_key) for u in upstreams] == [("a", "key-a"), ("b", "key-b")]


def test_an_entry_is_read_as_it_stands(written):
    second = load(written(TWO)).upstreams[1]
    assert (second.auth, second.ca_file, second.api_key_env) == ("x-api-key", "", "B_KEY")


def test_the_trailing_slash_of_a_base_url_is_taken_off(written):
    assert load(written(TWO)).upstreams[1].base_url == "http://127.0.0.1:9000"
    assert only({"OPENAI_BASE_URL": "https://h/v1//"}).base_url == "https://h/v1"


def test_header_names_are_lower_case(written):
    assert load(written(TWO)).upstreams[1].forward_headers == ("anthropic-version",)


def test_an_unset_key_is_the_empty_string():
    assert only({}).api_key == ""


def test_the_key_of_the_default_upstream():
    assert only({"OPENAI_API_KEY": "sk-1"}).api_key == "sk-1"


def test_the_key_may_be_the_content_of_a_file(secret_file):
    assert only({"OPENAI_API_KEY_FILE": secret_file("sk-1\n")}).api_key == "sk-1"


def test_a_rotated_key_file_is_read_again(secret_file):
    environ = {"OPENAI_API_KEY_FILE": secret_file("sk-1\n")}
    first = only(environ).api_key
    secret_file("sk-2\n")
    assert (first, only(environ).api_key) == ("sk-1", "sk-2")


@pytest.mark.parametrize("environ", [{"HOLYSHEEP_API_KEY": "hs"}, {"HOLYSHEEP_API_KEY": "hs", "OPENAI_API_KEY": ""}])
def test_the_other_key_name_serves_where_the_first_is_unset(environ):
    assert only(environ).api_key == "hs"


def test_the_other_key_name_may_name_a_file_too(secret_file):
    assert only({"HOLYSHEEP_API_KEY_FILE": secret_file("hs\n")}).api_key == "hs"


def test_the_first_key_name_wins_over_the_other():
    assert only({"HOLYSHEEP_API_KEY": "hs", "OPENAI_API_KEY": "sk"}).api_key == "sk"


def test_the_other_key_name_is_for_the_default_upstream_alone(written):
    assert {u.api_key for u in load(written(TWO, HOLYSHEEP_API_KEY="hs")).upstreams} == {""}


def test_an_upstream_without_a_key_variable_gets_no_key(written):
    environ = written('[[upstreams]]\napi_key_env = ""', OPENAI_API_KEY="sk", HOLYSHEEP_API_KEY="hs")
    assert only(environ).api_key == ""


@pytest.mark.parametrize("key", ["canary key", "canary\n", "canary\r", "canaryä"])
def test_a_key_that_does_not_fit_in_a_header_is_refused_and_not_repeated(problems, key):
    (problem,) = problems({"OPENAI_API_KEY": key})
    assert problem.startswith("OPENAI_API_KEY: must be visible ASCII") and "canary" not in problem


def test_a_key_given_twice_is_refused(problems, secret_file):
    (problem,) = problems({"OPENAI_API_KEY": "sk", "OPENAI_API_KEY_FILE": secret_file("sk")})
    assert "given twice" in problem


def test_the_environment_replaces_the_base_url_of_the_default_upstream():
    assert only({"OPENAI_BASE_URL": "http://127.0.0.1:9000/v1"}).base_url == "http://127.0.0.1:9000/v1"


def test_the_environment_leaves_other_upstreams_where_they_are(written):
    upstreams = load(written(TWO, OPENAI_BASE_URL="http://127.0.0.1:1")).upstreams
    assert [u.base_url for u in upstreams] == ["https://api.openai.com/v1", "http://127.0.0.1:9000"]


def test_a_bad_base_url_names_the_variable_it_came_from(problems):
    (problem,) = problems({"OPENAI_BASE_URL": "ftp://h"})
    assert problem.startswith("[[upstreams]] #1 base_url: must be an http")
    assert problem.endswith("(from OPENAI_BASE_URL)")


def test_a_repeated_name_is_refused(written, problems):
    (problem,) = problems(written(TWO.replace('"b"', '"a"')))
    assert problem.startswith('[[upstreams]] #2 name: another upstream is named "a" too')


def test_two_bad_names_are_not_called_the_same(written, problems):
    lines = problems(written(TWO.replace('"a"', "5").replace('"b"', "5")))
    assert [line.split(", got")[0].split(": ")[0] for line in lines] == [f"[[upstreams]] #{i} name" for i in (1, 2)]


def test_several_upstreams_each_name_their_key(written, problems):
    (problem,) = problems(written(TWO.replace('api_key_env = "B_KEY"', "")))
    assert problem.startswith("[[upstreams]] #2 api_key_env: must be given")


def test_a_key_in_the_file_is_refused_and_told_where_it_belongs(written, problems):
    (problem,) = problems(written('[[upstreams]]\napi_key = "canary"'))
    assert "api_key_env" in problem and "canary" not in problem


def test_a_key_in_the_place_of_its_variable_is_refused_and_not_repeated(written, problems):
    (problem,) = problems(written('[[upstreams]]\napi_key_env = "sk-canary"'))
    assert "name of an environment variable" in problem and "canary" not in problem


def test_every_bad_entry_is_told(written, problems):
    text = TWO.replace('"http://127.0.0.1:9000/"', '"nonsense"').replace('"x-api-key"', '"basic"').replace('"a"', "5")
    lines = problems(written(text))
    assert [line.split(":")[0] for line in lines] == [
        "[[upstreams]] #1 name", "[[upstreams]] #2 auth", "[[upstreams]] #2 base_url"
    ]  # fmt: skip


def test_a_relative_ca_file_counts_from_the_project(written, problems):
    (problem,) = problems(written('[[upstreams]]\nca_file = "config/relay.toml"'))
    assert "config/relay.toml holds no PEM certificate" in problem


def test_a_ca_file_is_an_absolute_path_in_the_end(written, tmp_path):
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    assert only(written(f'[[upstreams]]\nca_file = "{bundle}"')).ca_file == str(bundle)
