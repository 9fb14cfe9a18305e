"""Every number has a range that ends where its words say. The bounds stand here a second time on purpose."""

import math
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from config import ranges
from config.schema import Upstream
from config.sources import SECTIONS

WEEK = 604_800
BYTES = (256, 2**40)
COUNT = (1, 1_000_000)
TOKENS = (0, 10**12)
BOUNDS = {
    "server.workers": (1, 256),
    "server.connections_per_worker": (65, 100_000),
    "server.trusted_proxies": (0, 16),
    "server.keepalive_seconds": (1, 3600),
    "server.lame_duck_seconds": (0, WEEK),
    "server.drain_seconds": (None, WEEK),
    "server.body_bytes_max": BYTES,
    "server.multipart_bytes_max": BYTES,
    "server.body_seconds_max": (None, WEEK),
    "server.memory_bytes_max": (0, 2**50),
    "cors.max_age_seconds": (0, WEEK),
    "auth.token_seconds_max": (10, 86_400),
    "auth.failures_per_minute": COUNT,
    "limits.rpm": COUNT,
    "limits.concurrent": COUNT,
    "limits.tpm": TOKENS,
    "limits.budget_usd": (0, 10**9),
    "limits.max_output_tokens": TOKENS,
    "stream.heartbeat_seconds": (None, WEEK),
    "stream.early_open_seconds": (0, WEEK),
    "stream.connect_seconds_max": (None, WEEK),
    "stream.first_byte_seconds_max": (None, WEEK),
    "stream.idle_seconds_max": (None, WEEK),
    "stream.total_seconds_max": (None, WEEK),
    "stream.slow_reader_seconds_max": (None, WEEK),
    "stream.frame_bytes_max": BYTES,
    "stream.pending_bytes_max": BYTES,
    "resume.detach_seconds": (0, WEEK),
    "resume.keep_seconds": (None, WEEK),
    "resume.stream_bytes_max": BYTES,
    "resume.process_bytes_max": BYTES,
    "resume.ticket_seconds": (None, WEEK),
    "tasks.parallel": COUNT,
    "tasks.queue_max": COUNT,
    "tasks.seconds_max": (None, WEEK),
    "health.probe_seconds": (None, WEEK),
    "demo.selftest_frames": (1, 200),
    "demo.selftest_interval_ms": (10, 5000),
}
FIELDS = {f"{s}.{f.name}": f.type for s, kind in SECTIONS.items() for f in msgspec.structs.fields(kind)}
FIELDS |= {f"upstreams.{f.name}": f.type for f in msgspec.structs.fields(Upstream) if f.name != "api_key"}


def accepts(kind, value):
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def base(kind):
    return get_args(kind)[0]


def test_every_number_of_the_schema_stands_in_the_table_of_bounds():
    assert {name for name, kind in FIELDS.items() if base(kind) in (int, float)} == set(BOUNDS)


@pytest.mark.parametrize(("name", "least", "most"), [(name, *bounds) for name, bounds in BOUNDS.items()])
def test_a_number_is_accepted_up_to_its_bounds_and_refused_beyond(name, least, most):
    kind = FIELDS[name]
    step = 1 if base(kind) is int else 0.001
    smallest_refused = 0 if least is None else least - step
    smallest_accepted = 0.001 if least is None else least
    assert not accepts(kind, smallest_refused) and accepts(kind, smallest_accepted)
    assert accepts(kind, most) and not accepts(kind, most + step)


@pytest.mark.parametrize("name", [name for name in BOUNDS if "seconds" in name])
def test_seconds_may_have_a_fraction(name):
    assert accepts(FIELDS[name], 12.5)


@pytest.mark.parametrize("value", [True, "5", math.nan, math.inf, -math.inf, 10**400, [5], None])
def test_a_number_is_nothing_else(value):
    assert not [name for name in BOUNDS if accepts(FIELDS[name], value)]


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_says_in_words_what_it_must_be(name):
    (meta,) = (part for part in get_args(FIELDS[name])[1:] if isinstance(part, Meta))
    assert meta.description


@pytest.mark.parametrize(("name", "bounds"), BOUNDS.items())
def test_the_words_name_the_bounds(name, bounds):
    description = get_args(FIELDS[name])[1].description
    assert all(str(bound) in description for bound in bounds if bound is not None)
    assert ("whole number" in description) == (base(FIELDS[name]) is int)


@pytest.mark.parametrize("prefix", ["", "/sse", "/a/b", "/a.b/c-d_e~f", "/.well-known"])
def test_a_path_prefix_is_empty_or_a_plain_path(prefix):
    assert accepts(ranges.PathPrefix, prefix)


@pytest.mark.parametrize(
    "prefix", ["/", "sse", "/sse/", "//", "/a//b", "/a b", "/a?b", "/ä", "/a\n", "/.", "/a/..", "/../a"]
)
def test_any_other_path_prefix_is_refused(prefix):
    assert not accepts(ranges.PathPrefix, prefix)


@given(st.from_regex(r"[/a-z.]{0,8}", fullmatch=True))
def test_an_accepted_prefix_can_be_joined_with_a_route(prefix):
    joined = prefix + "/health"
    if accepts(ranges.PathPrefix, prefix):
        assert joined.startswith("/") and "//" not in joined and not {".", ".."} & set(joined.split("/"))


@pytest.mark.parametrize("text", ["sk-abc_123", "", "~!"])
def test_a_token_that_fits_in_a_header_is_accepted(text):
    assert accepts(ranges.Visible, text)


@pytest.mark.parametrize("text", ["a b", "a\n", "a\r", "ä", "\x7f", "\x00"])
def test_a_token_that_does_not_fit_in_a_header_is_refused(text):
    assert not accepts(ranges.Visible, text)


@pytest.mark.parametrize("name", ["", "A", "OPENAI_API_KEY", "_x9"])
def test_a_variable_name_is_accepted(name):
    assert accepts(ranges.VariableName, name)


@pytest.mark.parametrize("name", ["sk-proj-abc", "9A", "A B", "A\n", "A="])
def test_what_cannot_be_a_variable_name_is_refused(name):
    assert not accepts(ranges.VariableName, name)


@pytest.mark.parametrize("label", ["default", "a.b-c_9", "x" * 64])
def test_a_plain_upstream_name_is_accepted(label):
    assert accepts(ranges.Label, label)


@pytest.mark.parametrize("label", ["", "a b", "a\n", "a/b", "x" * 65])
def test_an_upstream_name_that_would_spoil_a_log_line_is_refused(label):
    assert not accepts(ranges.Label, label)


@pytest.mark.parametrize("path", ["/models", "/", "/a?b=c"])
def test_a_probe_path_begins_with_a_slash(path):
    assert accepts(ranges.UrlPath, path)


@pytest.mark.parametrize("path", ["models", "", "/a b", "/a\n", "/ä"])
def test_any_other_probe_path_is_refused(path):
    assert not accepts(ranges.UrlPath, path)
