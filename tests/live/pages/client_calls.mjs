// What a page does with the relay's client, in a browser (client.mjs) or in Node (../node/client_page.mjs); a test calls
// these functions and is told what the page saw.
export function callsOf({ Limiter, RelayClient, SseParser }) {
  const ASK = { model: "gpt-test", messages: [{ role: "user", content: "Hello" }] };
  const real = { setTimeout: setTimeout.bind(globalThis), now: performance.now.bind(performance), random: Math.random };
  let client, abort, tokens, latest;
  let waits = [];

  const told = (error) => ({ ...error, name: error.name, message: error.message, cause: undefined });

  // Reads a stream to its end. `leave`: what the page does when it has seen so many chunks; `idleMs`: a pause after one.
  async function read(stream, leave = {}, idleMs = 0) {
    const session = (latest = { stream, chunks: [] });
    let error = null;
    try {
      for await (const chunk of stream) {
        session.chunks.push(chunk);
        const isTime = session.chunks.length === leave.after;
        if (isTime && leave.by === "break") break;
        if (isTime) act(leave);
        if (session.chunks.length === 1 && idleMs > 0) await new Promise((resolve) => setTimeout(resolve, idleMs));
      }
    } catch (reason) {
      error = told(reason);
    }
    return outcome(session, { error });
  }

  const outcome = ({ stream, chunks }, more) => ({
    texts: chunks.map((chunk) => chunk.text),
    ids: chunks.map((chunk) => chunk.id ?? null),
    types: chunks.map((chunk) => chunk.type),
    state: stream.state,
    url: stream.url,
    lastEventId: stream.lastEventId,
    ...more,
  });

  function act({ by }) {
    if (by === "abort") return abort.abort();
    return latest.stream[by]();
  }

  const open = ({ way = "stream", ask = ASK, ...options }) => client[way](ask, { signal: abort.signal, ...options });

  function dispatched(url, types) {
    return new Promise((resolve) => {
      const events = [];
      const source = new EventSource(url);
      const note = ({ type, data, lastEventId }) => {
        if (data !== undefined) return events.push({ type, data, lastEventId });
        source.close(); // an error of its own: the stream has ended
        resolve(events);
      };
      for (const type of [...types, "error"]) source.addEventListener(type, note);
    });
  }

  async function parsed(url) {
    const parser = new SseParser();
    const events = parser.feed(new Uint8Array(await (await fetch(url)).arrayBuffer()));
    return events.map(({ type, data, lastEventId }) => ({ type, data, lastEventId }));
  }

  return {
    // The client that the next calls use. `tokens`: what getToken gives, one after another; the last for ever.
    client: ({ tokens: given = ["rk_test"], atOnce, perMinute, ...options }) => {
      tokens = { given, asked: 0 };
      const getToken = async () => {
        const token = tokens.given[Math.min(tokens.asked++, tokens.given.length - 1)];
        if (token === null) throw new Error("no token to be had");
        return token;
      };
      client = new RelayClient({ getToken, limiter: new Limiter(atOnce, perMinute), ...options });
      abort = new AbortController();
      Object.assign(globalThis, { setTimeout: real.setTimeout });
      performance.now = real.now;
      Math.random = real.random;
    },

    // The client as the relay itself serves it, which then knows where that is.
    clientFrom: async ({ url }) => {
      client = new (await import(url)).RelayClient();
      abort = new AbortController();
    },

    read: ({ leave, idleMs, ...asked }) => read(open(asked), leave, idleMs),
    readMany: ({ count, ...asked }) => Promise.all(Array.from({ length: count }, () => read(open(asked)))),
    resume: ({ left, leave }) => read(client.resume(left ?? latest.stream, { signal: abort.signal }), leave),

    // The same by callbacks: which were called, in which order, and with what.
    callBack: ({ leave = {}, ...asked }) =>
      new Promise((resolve) => {
        const called = [];
        const session = (latest = { chunks: [] });
        const note = (name) => (value) => called.push([name, value instanceof Error ? told(value) : (value ?? null)]);
        const end = (name) => (value) => {
          note(name)(value);
          setTimeout(() => resolve(outcome(session, { called })), 20); // for one more that must not come
        };
        const onChunk = (chunk) => {
          session.chunks.push(chunk);
          if (session.chunks.length !== leave.after) return;
          if (leave.by === "throw") throw new Error("the page's own");
          act(leave);
          end("left")();
        };
        const noted = { onStatus: note("status"), onProgress: note("progress") };
        session.stream = open({ ...asked, ...noted, onChunk, onComplete: end("complete"), onError: end("error") });
      }),

    act: async (how) => (await act(how)) ?? null,
    newSignal: () => void (abort = new AbortController()),
    abortFirst: () => abort.abort(new Error("the page's reason")),
    seen: () => latest.chunks.length,
    state: () => latest.stream.state,
    tokensAsked: () => tokens.asked,
    isSecure: () => globalThis.isSecureContext ?? true,

    // Time runs so many times faster for the client from now on, and chance is what is given.
    hurry: ({ times, chance = 0 }) => {
      waits = [];
      globalThis.setTimeout = (work, waitMs, ...more) => {
        const isClients = new Error().stack.includes("relay-client.js");
        if (isClients) waits.push(waitMs);
        return real.setTimeout(work, isClients ? waitMs / times : waitMs, ...more);
      };
      performance.now = () => real.now() * times;
      Math.random = () => chance;
    },

    waits: () => waits,
    now: () => performance.now(),

    // When each of so many was let in, in milliseconds of the page's time, each staying for `stayMs`.
    enter: async ({ count, atOnce, perMinute, stayMs = 0 }) => {
      const limiter = new Limiter(atOnce, perMinute);
      const begun = performance.now();
      let inside = 0;
      let most = 0;
      const order = [];
      const one = async (number) => {
        const leave = await limiter.enter();
        order.push([number, performance.now() - begun]);
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, stayMs));
        inside -= 1;
        leave();
        leave(); // once more does no harm
      };
      await Promise.all(Array.from({ length: count }, (_, number) => one(number)));
      return { order, most };
    },

    // Three at a limit of one: the first stays, the second gives up, the third follows the first.
    enterAndGiveUp: async () => {
      const limiter = new Limiter(1);
      const leave = await limiter.enter();
      const giving = new AbortController();
      const second = limiter.enter(giving.signal).catch((reason) => reason.message);
      const third = limiter.enter().then(() => "in");
      giving.abort(new Error("gave up"));
      const gone = await second;
      leave();
      return [gone, await third, await limiter.enter(giving.signal).catch((reason) => reason.message)];
    },

    parse: ({ pieces }) => {
      const parser = new SseParser();
      const events = pieces.flatMap((piece) => parser.feed(Uint8Array.from(piece)));
      return { events, lastEventId: parser.lastEventId, retryMs: parser.retryMs ?? null };
    },

    // What the browser's own reader makes of the stream at each of these addresses, and what the client's makes of it.
    bothRead: ({ urls, types }) => Promise.all(urls.map(async (url) => [await dispatched(url, types), await parsed(url)])),
  };
}
