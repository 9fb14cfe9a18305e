// A client as a page of the founding tutorials would have it: fetch, lines, no library, no look at anything optional.

const CHAT = "/v1/chat/completions";

// Errors that a person reads have the API's message, or else what HTTP calls the status.
export class SeedClient {
  constructor(apiKey, baseUrl) {
    this.apiKey = apiKey;
    this.baseUrl = baseUrl;
  }

  headers() {
    return {
      "Authorization": `Bearer ${this.apiKey}`,
      "Content-Type": "application/json",
      "Accept": "text/event-stream",
      "Cache-Control": "no-cache",
    };
  }

  async stream(model, { path = CHAT, onChunk = () => {}, onComplete = () => {}, signal } = {}) {
    const body = { model, messages: [{ role: "user", content: "Was ist SSE?" }], stream: true };
    const response = await fetch(this.baseUrl + path, {
      method: "POST",
      headers: this.headers(),
      body: JSON.stringify({ ...body, temperature: 0.7, max_tokens: 2000 }),
      signal,
    });
    if (!response.ok) {
      const said = await response.json().catch(() => ({}));
      throw new Error(`API Error ${response.status}: ${said.error?.message || response.statusText}`);
    }
    await readLines(response.body, (data) => (data === "[DONE]" ? onComplete() : onChunk(contentOf(data))));
  }
}

async function readLines(body, onData) {
  const decoder = new TextDecoder();
  let begun = "";
  for await (const bytes of body) {
    const lines = (begun + decoder.decode(bytes, { stream: true })).split("\n");
    begun = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) onData(line.slice("data: ".length));
  }
}

// What it does not understand it leaves out: an error frame says nothing to it.
function contentOf(data) {
  try {
    return JSON.parse(data).choices[0].delta.content ?? "";
  } catch {
    return "";
  }
}

// One total time limit for a stream, and a way out for the person who waits.
export class RobustClient extends SeedClient {
  constructor(apiKey, baseUrl, timeoutMs = 60_000) {
    super(apiKey, baseUrl);
    this.timeoutMs = timeoutMs;
  }

  async stream(model, options = {}) {
    this.controller = new AbortController();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.controller.abort();
    }, this.timeoutMs);
    try {
      await super.stream(model, { ...options, signal: this.controller.signal });
    } catch (error) {
      throw late ? new Error("Stream-Timeout überschritten") : error;
    } finally {
      clearTimeout(timer);
    }
  }

  cancelStream() {
    this.controller?.abort();
  }
}

// At most five streams at a time; the others look every 100 ms whether there is room.
export class PatientClient extends SeedClient {
  running = 0;

  async stream(model, options) {
    while (this.running >= 5) await new Promise((resolve) => setTimeout(resolve, 100));
    this.running += 1;
    try {
      return await super.stream(model, options);
    } finally {
      this.running -= 1;
    }
  }
}

// Three more attempts after 1, 2 and 4 s and a random part of a second, whatever went wrong.
export async function retryWithBackoff(attempt, retries = 3) {
  for (let tried = 0; ; tried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (tried >= retries) throw error;
      const waitMs = Math.min(1000 * 2 ** tried + Math.random() * 1000, 30_000);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}
