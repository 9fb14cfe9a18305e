"""One rule at a time: what it accepts and what it refuses."""

import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from config import checks


def refusals(rule, *values):
    return list(rule(*values))


@pytest.mark.parametrize("bind", ["127.0.0.1:8000", "0.0.0.0:1", "localhost:65535", "[::1]:8000", "my-host_1:80"])
def test_an_address_with_a_port_can_be_bound(bind):
    assert refusals(checks.bind, bind) == []


@pytest.mark.parametrize(
    "bind",
    ["", "127.0.0.1", ":8000", "8000", "8000:8000", "a:0", "a:08", "a:65536", "a:x", "a:", "::1:80", "[::1]", "[zz]:80",
     "[1:2]:80", "a b:80", "unix:/run/relay.sock", "http://a:80", "a:80\n", "a:٣"],
)  # fmt: skip
def test_anything_else_cannot_be_bound(bind):
    assert len(refusals(checks.bind, bind)) == 1


def test_a_refused_address_is_repeated():
    assert 'got "a:x"' in refusals(checks.bind, "a:x")[0]


def test_host_names_can_be_trusted():
    assert refusals(checks.trusted_hosts, ("relay.example", "relay.example:8443", "[::1]", "127.0.0.1")) == []


@pytest.mark.parametrize("host", ["", "https://relay.example", "relay.example/", "*.example", "a b", "a:0", "a@b"])
def test_what_is_not_a_host_name_cannot_be_trusted(host):
    assert len(refusals(checks.trusted_hosts, ("good.example", host))) == 1


def test_each_bad_host_name_is_told():
    assert len(refusals(checks.trusted_hosts, ("a/", "b/"))) == 2


@pytest.mark.parametrize("secret", ["", "x" * 32, "ä" * 16])
def test_a_token_secret_of_32_bytes_or_none_is_accepted(secret):
    assert refusals(checks.token_secret, secret) == []


@pytest.mark.parametrize("secret", ["x", "x" * 31, "ä" * 15])
def test_a_short_token_secret_is_refused(secret):
    assert len(refusals(checks.token_secret, secret)) == 1


def test_several_workers_need_redis_and_are_told_what_to_set():
    (reason,) = refusals(checks.several_workers_share_redis, 2, "")
    assert "REDIS_URL" in reason and "WEB_CONCURRENCY=1" in reason


@pytest.mark.parametrize(("workers", "redis_url"), [(1, ""), (1, "redis://h"), (8, "redis://h")])
def test_one_worker_or_redis_is_enough(workers, redis_url):
    assert refusals(checks.several_workers_share_redis, workers, redis_url) == []


@pytest.mark.parametrize(("lame_duck", "drain", "count"), [(4, 120, 0), (0, 0.1, 0), (4, 4, 1), (5, 4, 1)])
def test_the_lame_duck_ends_before_the_drain(lame_duck, drain, count):
    assert len(refusals(checks.lame_duck_within_drain, lame_duck, drain)) == count


@pytest.mark.parametrize(("stream", "process", "count"), [(256, 256, 0), (257, 256, 1)])
def test_one_kept_stream_fits_into_its_process(stream, process, count):
    assert len(refusals(checks.one_stream_fits, stream, process)) == count


@pytest.mark.parametrize(
    "url",
    ["sqlite:///var/relay.db", "sqlite:////abs/relay.db", "postgresql://u:p@h:5432/d", "postgresql+psycopg:///d"],
)
def test_sqlite_and_postgresql_are_databases(url):
    assert refusals(checks.database_url, url) == []


@pytest.mark.parametrize(
    "url", ["", "relay.db", "sqlite://", "sqlite:///", "sqlite://relay.db", "mysql://h/d", "postgresql://"]
)
def test_any_other_database_is_refused(url):
    assert len(refusals(checks.database_url, url)) == 1


def test_the_short_scheme_of_postgresql_is_told_its_long_form():
    assert "postgresql://" in refusals(checks.database_url, "postgres://u:canary@h/d")[0]


@pytest.mark.parametrize("url", ["", "redis://h", "redis://:p@h:6379/0", "rediss://h", "unix:///run/redis.sock"])
def test_a_redis_url_or_none_is_accepted(url):
    assert refusals(checks.redis_url, url) == []


@pytest.mark.parametrize("url", ["h:6379", "http://h", "redis://", "redis:/h", "xredis://h"])
def test_any_other_redis_url_is_refused(url):
    assert len(refusals(checks.redis_url, url)) == 1


@pytest.mark.parametrize(
    "origin",
    ["https://app.example", "http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:8000", "capacitor://localhost",
     "https://xn--bcher-kva.example", "http://a:443", "https://a:80"],
)  # fmt: skip
def test_an_exact_origin_is_accepted(origin):
    assert refusals(checks.origins, (origin,)) == []


@pytest.mark.parametrize(
    ("origin", "why"),
    [("*", "wildcard"), ("https://*.example", "wildcard"), ("null", "sandboxed"),
     ("https://a:443", "default port"), ("http://[::1]:80", "default port"),
     ("https://App.example", "exact"), ("HTTPS://app.example", "exact"), ("NULL", "exact"), ("", "exact"),
     ("https://a/", "exact"), ("https://a/path", "exact"), ("app.example", "exact"), ("https://", "exact"),
     ("https://a:0", "exact"), ("https://a:99999", "exact"), ("https://a b", "exact"), ("https://bücher.ex", "exact"),
     ("https://a?", "exact"), ("https://a#", "exact"), ("https://a\n", "exact"), ("//a", "exact"),
     ("://a", "exact"), ("1a://a", "exact")],
)  # fmt: skip
def test_what_no_browser_sends_or_every_page_may_send_is_refused(origin, why):
    (reason,) = refusals(checks.origins, ("https://good.example", origin))
    assert why in reason


def test_each_bad_origin_is_told():
    assert len(refusals(checks.origins, ("null", "https://good.example", "*", "nonsense"))) == 3


def test_a_password_in_an_origin_is_not_repeated():
    assert "canary" not in refusals(checks.origins, ("https://u:canary@a",))[0]


@given(st.text(max_size=30) | st.from_regex(r"https?://[a-z0-9.:\[\]/@*-]{0,12}", fullmatch=True))
@example("https://a.example:8443")
def test_an_accepted_origin_has_a_scheme_and_a_host_and_nothing_more(origin):
    if refusals(checks.origins, (origin,)) == []:
        scheme, _, host = origin.partition("://")
        assert scheme and host and origin.isascii() and origin.islower() and origin.isprintable()
        assert not set("/?#@*, ") & set(host)


@pytest.mark.parametrize(
    "url",
    ["https://api.openai.com/v1", "http://127.0.0.1:9000", "https://h/", "https://h:8443/a/b/", "http://[::1]:9000/v1",
     "HTTPS://h/v1", "https://h/@org"],
)  # fmt: skip
def test_a_plain_http_url_is_a_base_url(url):
    assert refusals(checks.base_url, url) == []


@pytest.mark.parametrize(
    "url",
    ["", "api.openai.com", "ftp://h", "https://", "https:///v1", "https:/h", "https://h?", "https://h/v1?a=1", "https://h/#",
     "https://u@h/v1", "https://u:p@h", "https://h:0", "https://h:65536", "https://h:x", "https://h /", "https://h\n",
     "https://h\t/", "https://h\\@evil", "https://bücher.example", "https://[::zz]", "https://a,b"],
)  # fmt: skip
def test_any_other_base_url_is_refused(url):
    assert refusals(checks.base_url, url)


def test_everything_wrong_with_a_base_url_is_told_at_once():
    query, user = refusals(checks.base_url, "https://u:p@h/v1?a=1")
    assert "no query" in query and "no user name" in user


@given(st.text(alphabet="htps:/@?#ab1.[]% \n\\", max_size=30).map(lambda tail: "https://" + tail + "canary"))
def test_a_base_url_is_never_repeated(url):
    assert not [reason for reason in refusals(checks.base_url, url) if "canary" in reason]


def test_ordinary_headers_can_be_forwarded():
    assert refusals(checks.forward_headers, ("openai-beta", "Anthropic-Version", "x-title")) == []


@pytest.mark.parametrize("name", ["authorization", "X-API-Key", "Cookie", "proxy-authorization"])
def test_a_credential_is_never_forwarded(name):
    assert "never forwarded" in refusals(checks.forward_headers, (name,))[0]


@pytest.mark.parametrize("name", ["host", "Content-Length", "transfer-encoding", "connection", "te", "expect"])
def test_what_frames_a_message_is_never_forwarded(name):
    assert "never forwarded" in refusals(checks.forward_headers, (name,))[0]


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "ä", "a,b"])
def test_what_is_no_header_name_is_refused(name):
    assert "header names" in refusals(checks.forward_headers, (name,))[0]


def test_no_ca_file_is_fine():
    assert refusals(checks.ca_file, "") == []


def test_a_pem_bundle_is_a_ca_file(tmp_path):
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    assert refusals(checks.ca_file, str(bundle)) == []


def test_half_a_bundle_is_none(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(trustme.CA().cert_pem.bytes()[:200])
    assert "a broken one" in refusals(checks.ca_file, str(bundle))[0]


def test_a_missing_ca_file_is_refused(tmp_path):
    assert "No such file" in refusals(checks.ca_file, str(tmp_path / "none.pem"))[0]


def test_a_directory_is_no_ca_file(tmp_path):
    assert "cannot be read" in refusals(checks.ca_file, str(tmp_path))[0]


def test_a_path_that_no_file_can_have_is_refused():
    assert "cannot be read" in refusals(checks.ca_file, "a\0b")[0]


def test_a_file_without_a_certificate_is_no_ca_file(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\n")
    assert "no PEM certificate" in refusals(checks.ca_file, str(key))[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [("abc", '"abc"'), ("a\nb", '"a\\nb"'), ("ä", '"\\u00e4"'), ("u:p@h", "a string with an @"),
     ("x" * 61, '"' + "x" * 60 + '..."'), ("x" * 60, '"' + "x" * 60 + '"'),
     (True, "true"), (False, "false"), (5, "5"), (1.5, "1.5"), (-(10**18), "a very large number"),
     ([1], "a list"), ({"a": 1}, "a table"), (object(), "a date or time")],
)  # fmt: skip
def test_a_refused_value_is_shown_short_and_printable(value, words):
    assert checks.quoted(value) == words


@given(st.text() | st.integers() | st.floats() | st.booleans())
def test_what_is_shown_is_one_printable_ascii_line(value):
    shown = checks.quoted(value)
    assert shown.isascii() and shown.isprintable()
