// The client's parser (CLIENT_URL) and eventsource-parser on the streams that come as JSON on standard input: what each
// makes of a stream, and at which cuts the client's parser makes something else of it. Run by tests/client/test_parser.py.
import { createParser } from "eventsource-parser";

const { SseParser } = await import(process.env.CLIENT_URL);

function ours(pieces) {
  const parser = new SseParser();
  const events = pieces.flatMap((piece) => parser.feed(piece));
  return { events, lastEventId: parser.lastEventId, retryMs: parser.retryMs ?? null };
}

function theirs(bytes) {
  const events = [];
  let retryMs = null;
  const onEvent = ({ event = "message", data, id = null }) => events.push({ type: event, data, id });
  createParser({ onEvent, onRetry: (ms) => (retryMs = ms) }).feed(new TextDecoder().decode(bytes));
  return { events, retryMs };
}

// In two at every place, one by one, and in three with an empty piece and a short one.
function* cuts(bytes) {
  for (let at = 0; at <= bytes.length; at++) {
    yield [bytes.subarray(0, at), bytes.subarray(at)];
    yield [bytes.subarray(0, at), new Uint8Array(), bytes.subarray(at, at + 1), bytes.subarray(at + 1)];
  }
  yield Array.from(bytes, (byte) => Uint8Array.of(byte));
}

function tried(stream) {
  const bytes = Uint8Array.from(stream);
  const whole = ours([bytes]);
  const all = [...cuts(bytes)];
  const wrong = all.filter((pieces) => JSON.stringify(ours(pieces)) !== JSON.stringify(whole));
  return { ours: whole, theirs: theirs(bytes), cuts: all.length, wrong: wrong.map((pieces) => pieces[0].length) };
}

const input = [];
for await (const piece of process.stdin) input.push(piece);
const streams = JSON.parse(Buffer.concat(input).toString());
console.log(JSON.stringify(Object.fromEntries(Object.entries(streams).map(([name, stream]) => [name, tried(stream)]))));
