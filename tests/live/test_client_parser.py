"""relay-client.js's parser beside Chromium's own EventSource, on the same streams."""

from tests.core.streams import CORPUS, read
from tests.live.bench.conversation import Connection, Request
from tests.live.bench.scripts import every_request, length
from tests.live.client_scene import Scene
from tests.live.event_soup import soup
from tests.live.scripted_relay import head

pytest_plugins = ["tests.live.shared_client"]

STREAMS = list({**CORPUS, **soup()}.values())
TYPES = sorted({one.type.decode() for body in STREAMS for one in read(body).events} - {"error"})


def numbered_stream(conn: Connection, request: Request) -> None:
    """The stream that the path names."""
    body = STREAMS[int(request.path.strip("/"))]
    conn.send(head(request, "200 OK", "Content-Type: text/event-stream", length(len(body))) + body)


def test_a_stream_is_read_as_the_browser_reads_it(in_chromium: Scene) -> None:
    in_chromium.server.answer(every_request(numbered_stream))
    urls = [f"{in_chromium.base_url}/{number}" for number in range(len(STREAMS))]
    seen = in_chromium.call("bothRead", urls=urls, types=TYPES)
    different = [(STREAMS[at], *both) for at, both in enumerate(seen) if both[0] != both[1]]
    assert different == []
    assert sum(len(dispatched) for dispatched, _ in seen) == sum(len(read(body).events) for body in STREAMS)
