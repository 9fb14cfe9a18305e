/**
 * The way to the relay: does what streams arrive as it streams? `GET /selftest` sends frames at a fixed pace; what
 * buffers on the way lets them come at once. `python -m relay doctor URL` looks closer, and names the culprit.
 */
import { RelayError, SseParser } from "../relay-client.js";

const FRAMES = 10;
const INTERVAL_MS = 100;
const LIVE_SHARE_MIN = 0.5; // of the time that they took to be sent

/**
 * @param {string} token of a key or a client
 * @returns {Promise<{ isLive: boolean, frames: number }>} how many frames came, and whether one by one
 */
export async function checkWay(token) {
  const headers = { Authorization: `Bearer ${token}` };
  const url = `../selftest?frames=${FRAMES}&interval_ms=${INTERVAL_MS}`;
  const answer = await fetch(url, { headers, cache: "no-store" });
  if (!answer.ok) throw await refusal(answer);
  const seen = [];
  for await (const { data } of eventsOf(answer.body.getReader())) {
    if (data !== "[DONE]") seen.push({ atMs: performance.now(), sentMs: JSON.parse(data).elapsed_ms });
  }
  const took = (name) => seen.at(-1)[name] - seen[0][name];
  return { isLive: seen.length === FRAMES && took("atMs") > took("sentMs") * LIVE_SHARE_MIN, frames: seen.length };
}

/** @param {Response} answer what the relay has refused @returns {Promise<RelayError>} with its own words where it said any */
export async function refusal(answer) {
  const { error: said = {} } = await answer.json().catch(() => ({}));
  const { message = answer.statusText, code = "" } = said;
  const seconds = Number(answer.headers.get("Retry-After"));
  const retryAfterMs = seconds ? seconds * 1000 : undefined;
  return new RelayError("refused", message, { code, status: answer.status, retryAfterMs });
}

async function* eventsOf(reader) {
  const parser = new SseParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield* parser.feed(value);
  }
}
