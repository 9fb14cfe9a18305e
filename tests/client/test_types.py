"""relay-client.js and relay-client.d.ts: the same names, the type checker is content with both, and what it refuses."""

import json
import re
from pathlib import Path

import pytest

from tests.live.bench.node_page import CLIENT
from tests.live.bench.sdks import run_tsc

TYPES = CLIENT.with_suffix("").with_suffix(".d.ts")
SIZE_BYTES_MAX = 20_480
PAGE = """
import { Limiter, RelayClient, RelayError, SseParser, type Chunk } from "%s";

const limiter = new Limiter(2);
const relay = new RelayClient({ baseUrl: "https://relay.example", getToken: async () => "ek_", limiter });
const stream = relay.stream({ model: "m", messages: [] }, { signal: AbortSignal.timeout(1000), path: "/v1/responses" });
for await (const { text, id, type, data } of stream) text.length + (id ?? type).length + data.anything;
try {
  const left: string = relay.resume(stream).lastEventId;
  const stopped: boolean = await stream.cancel();
} catch (error) {
  if (error instanceof RelayError && error.kind === "cors") error.retryAfterMs?.toFixed();
}
relay.task({ prompt: "" }, { onStatus: ({ stage }) => stage, onComplete: (last: Chunk | undefined) => last?.text });
new SseParser().feed(new Uint8Array()).map((event) => event.lastEventId);
"""
WRONG = [
    "new RelayClient({ baseURL: '' });",
    "new RelayClient({ getToken: () => 1 });",
    "relay.stream('Hello');",
    "relay.stream({}, { onChunk: (chunk: number) => chunk });",
    "relay.resume({ lastEventId: '' });",
    "stream.state = 'open';",
    "if (stream.state === 'done') stream;",
    "if (new RelayError('cors', '', {}).kind === 'http') stream;",
    "new Stream();",
]


def project(directory: Path, file: str, **options: object) -> Path:
    checked = {"strict": True, "noEmit": True, "target": "es2022", "module": "esnext", "moduleResolution": "bundler"}
    path = directory / "tsconfig.json"
    path.write_text(json.dumps({"compilerOptions": {**checked, **options}, "files": [file]}))
    return path


def complaints(directory: Path, page: str) -> list[str]:
    (directory / "page.ts").write_text(page)
    try:
        run_tsc(project(directory, "page.ts"))
    except AssertionError as told:
        return re.findall(r"page\.ts\((\d+),", str(told))
    return []


def test_a_page_that_uses_what_there_is_is_in_order(tmp_path: Path) -> None:
    assert complaints(tmp_path, PAGE % CLIENT) == []


def test_every_mistake_is_found(tmp_path: Path) -> None:
    page = PAGE.replace("{ Limiter", "{ Limiter, Stream") % CLIENT + "\n".join(WRONG)
    first = PAGE.count("\n") + 1
    assert complaints(tmp_path, page) == [str(line) for line in range(first, first + len(WRONG))]


def test_the_program_keeps_to_its_types(tmp_path: Path) -> None:
    """Private parts carry no types: what they are given is checked where it is public."""
    in_pages = ["es2023", "dom", "dom.iterable", "dom.asynciterable"]
    assert run_tsc(project(tmp_path, str(CLIENT), strict=False, allowJs=True, checkJs=True, lib=in_pages)) == ""


def members(text: str, name: str) -> set[str]:
    """The public names in a class of either file."""
    body = re.search(rf"^export class {name}\b.*?\{{\n(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
    assert body is not None
    found = re.findall(r"^  (?:readonly |async |get )?\*?([a-z]\w*)\b *[(?:=;]", body[1], re.MULTILINE)
    return set(found) - {"constructor"}


@pytest.mark.parametrize("name", ["RelayClient", "Stream", "Limiter", "SseParser"])
def test_the_types_name_what_there_is(name: str) -> None:
    assert members(TYPES.read_text(), name) == members(CLIENT.read_text(), name)


def test_both_export_the_same() -> None:
    exported = [set(re.findall(r"^export class (\w+)", path.read_text(), re.MULTILINE)) for path in (CLIENT, TYPES)]
    assert exported[0] == exported[1] == {"RelayClient", "Stream", "Limiter", "SseParser", "RelayError"}


def test_the_client_is_small_and_quiet() -> None:
    """A page loads it in one piece; what it has to say it says to its caller."""
    program = CLIENT.read_text()
    assert len(program.encode()) < SIZE_BYTES_MAX
    assert program.isascii()
    elsewhere = r"\b(console|document|window|globalThis|localStorage|eval|innerHTML|require)\b|^import "
    assert not re.search(elsewhere, program, re.MULTILINE)
