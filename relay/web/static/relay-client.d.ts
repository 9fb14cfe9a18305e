/** Types of relay-client.js: what a page gives and gets. What things do is said there. */

/** `resuming`: waiting before the next attempt to come back. The last four are ends. */
export type State = "waiting" | "open" | "resuming" | "complete" | "cancelled" | "closed" | "failed";

/**
 * What a page tells its user:
 * - `refused`: the server said no, and nothing of the answer came;
 * - `truncated`: a part came, and the rest is not to be had;
 * - `network`: the server cannot be reached;
 * - `cors`: it can, but it does not let this page read its answers.
 */
export type ErrorKind = "refused" | "truncated" | "network" | "cors";

/** One event of an answer or a task. */
export interface Chunk {
  /** The event's name: `message` where the route names none; of a task `status`, `progress` or `complete`. */
  type: string;
  /** `rs_…:7`, where the stream can be resumed. */
  id?: string;
  /** What is new in the text; empty where nothing is. Show it as text, never as HTML. */
  text: string;
  /** The event's JSON, as the upstream or the task sent it; its string where it is no JSON. */
  data: any;
}

export interface Callbacks {
  onChunk?: (chunk: Chunk) => void;
  /** The data of a task's event: `{ stage, progress, message, task_id }`. */
  onStatus?: (data: any) => void;
  /** The data of a task's event: `{ chunk, progress, total_length }`. */
  onProgress?: (data: any) => void;
  /** The answer is whole. With its last chunk: a task's `complete`, an answer's usage where it was asked for. */
  onComplete?: (last: Chunk | undefined) => void;
  /** A RelayError; the signal's reason; or what `getToken` or another callback has thrown. Without it they are thrown. */
  onError?: (error: any) => void;
}

export interface Options extends Callbacks {
  /** Its abort cancels the stream, and the iteration throws its reason. */
  signal?: AbortSignal;
  /** A random one unless given. With that of an earlier request, and the same body, the relay answers with its stream. */
  idempotencyKey?: string;
}

export interface StreamOptions extends Options {
  path?: string;
}

/** What is enough to come back to a stream. */
export interface Bookmark {
  url: string;
  lastEventId?: string;
}

export interface ClientOptions {
  /** The relay's address, with its path prefix and without `/v1`. Unless given: where this file was loaded from. */
  baseUrl?: string;
  /** Asked for a client token (or a key, outside of pages) when one is needed, and once more when it has expired. */
  getToken?: () => string | Promise<string>;
  /** Silence of the server after which a connection counts as lost; 45. It must be longer than the relay's heartbeat. */
  stallSeconds?: number;
  /** One of several clients' own, or with other numbers. */
  limiter?: Limiter;
  /** Instead of the global one. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

export class RelayClient {
  constructor(options?: ClientOptions);
  stream(request: object, options?: StreamOptions): Stream;
  task(request: object, options?: StreamOptions): Stream;
  resume(left: Bookmark, options?: Options): Stream;
}

export class Stream implements AsyncIterable<Chunk>, Bookmark {
  private constructor();
  readonly state: State;
  /** Where the stream goes on; empty where it cannot be resumed. It holds a ticket: who knows it can read the answer. */
  readonly url: string;
  readonly lastEventId: string;
  cancel(): Promise<boolean>;
  close(): void;
  [Symbol.asyncIterator](): AsyncGenerator<Chunk, void>;
}

export class Limiter {
  /** 5 and 60. */
  constructor(atOnce?: number, perMinute?: number);
  /** Wait for a place. Rejects with the signal's reason. The result gives the place back; more than once does no harm. */
  enter(signal?: AbortSignal): Promise<() => void>;
}

/** An event as an EventSource dispatches it. */
export interface SseEvent {
  type: string;
  data: string;
  /** Its own; undefined where it has none. */
  id: string | undefined;
  /** The latest so far. */
  lastEventId: string;
}

export class SseParser {
  readonly lastEventId: string;
  readonly retryMs: number | undefined;
  feed(bytes: Uint8Array): SseEvent[];
}

export interface ErrorDetails {
  /** The relay's code (docs/http-api.md), or `connection_lost`, `stalled`, `event_missing`, `no_event_stream`. */
  code?: string;
  /** Of HTTP; 0 where there was none. */
  status?: number;
  requestId?: string;
  /** The same may be asked again, and will not be paid twice. */
  retryable?: boolean;
  retryAfterMs?: number;
  cause?: unknown;
}

/** Why there is no answer, or not all of it. Message, `code` and `status` are the server's own where it said something. */
export class RelayError extends Error {
  constructor(kind: ErrorKind, message: string, details: ErrorDetails);
  readonly kind: ErrorKind;
  readonly code: string;
  readonly status: number;
  readonly requestId: string;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
}

/** Inside: what is asked, and how its events are read. */
export interface Plan extends Partial<Bookmark> {
  path?: string;
  body?: object;
  read: (event: SseEvent) => Reading;
}

/** Inside: what an event says. */
export interface Reading {
  chunk?: Chunk;
  error?: ErrorDetails & { message: string };
  last?: boolean;
}
