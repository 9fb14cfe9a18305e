"""relay-client.js's parser: as WHATWG HTML 9.2.6 and eventsource-parser have it, and the same wherever it is cut."""

import json
from typing import Any

import pytest

from tests.core.streams import CORPUS, read
from tests.live.bench.node_page import CLIENT
from tests.live.bench.sdks import NODE_SCRIPTS, run_node
from tests.live.event_soup import soup

STREAMS = {**CORPUS, **soup()}
each_stream = pytest.mark.parametrize("name", STREAMS)


@pytest.fixture(scope="module")
def tried() -> Any:
    streams = {name: list(body) for name, body in STREAMS.items()}
    environ = {"CLIENT_URL": CLIENT.as_uri()}
    return json.loads(run_node(NODE_SCRIPTS / "parser_attempts.mjs", environ, given=json.dumps(streams)))


@each_stream
def test_a_stream_is_read_as_the_standard_says(tried: Any, name: str) -> None:
    heard = read(STREAMS[name])
    wanted = [
        tuple(text.decode("utf-8", "replace") for text in (one.type, one.data, one.last_id)) for one in heard.events
    ]
    ours = tried[name]["ours"]
    assert [(one["type"], one["data"], one["lastEventId"]) for one in ours["events"]] == wanted
    assert ours["retryMs"] == heard.retry


@each_stream
def test_a_stream_is_read_as_eventsource_parser_reads_it(tried: Any, name: str) -> None:
    ours, theirs = tried[name]["ours"], tried[name]["theirs"]
    assert [{"type": e["type"], "data": e["data"], "id": e.get("id")} for e in ours["events"]] == theirs["events"]
    assert ours["retryMs"] == theirs["retryMs"]


@each_stream
def test_a_stream_is_read_the_same_wherever_it_is_cut(tried: Any, name: str) -> None:
    assert tried[name]["wrong"] == []
    assert tried[name]["cuts"] == 2 * len(STREAMS[name]) + 3


def test_an_id_is_remembered_without_an_event_of_its_own(tried: Any) -> None:
    assert tried["id only"]["ours"]["lastEventId"] == "4"
    assert [event["lastEventId"] for event in tried["id only"]["ours"]["events"]] == ["1", "4", "4"]
