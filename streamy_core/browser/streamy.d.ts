/** Streamy's half in the page: an event stream that comes back by itself and keeps its place. */

/**
 * - `connecting`: for the first time, or again after waiting;
 * - `live`: events arrive as they are published;
 * - `waiting`: the connection is lost; it tries again by itself;
 * - `ended`: the streams have ended for good, or the page has closed it;
 * - `refused`: the server doesn't allow it. Nothing more happens.
 */
export type State = "connecting" | "live" | "waiting" | "ended" | "refused";

/** Why the state is what it is now. */
export interface Why {
  /**
   * - `closed`: the server has closed the connection;
   * - `network`: there is no connection, or it broke;
   * - `silent`: nothing has come for longer than the server's keep-alive;
   * - `status`: the answer has another status than 200: see `status`;
   * - `type`: the answer is no event stream, as of a Wi-Fi's login page;
   * - `load`: `load` has failed;
   * - `end`: the stream has ended.
   */
  reason: "closed" | "network" | "silent" | "status" | "type" | "load" | "end";
  /** The HTTP status, if there was an answer. */
  status?: number;
  /** In how many milliseconds it tries again. */
  delay?: number;
}

/** An event as it came. */
export interface StreamEvent {
  /** The place after it: a cursor that can be given to `connect`. Opaque. */
  id: string;
  /** Its name; `message` if it was published without one. */
  type: string;
  /** Its data as text. */
  raw: string;
  /** The stream that it is of, on a connection to several. */
  stream?: string;
}

/** What lies between two cursors of a stream is lost. */
export interface Gap {
  stream: string;
  from: string;
  to: string;
}

/** A stream that has ended for good. */
export interface End {
  stream: string;
  /** What came of a run. Missing if it was none. */
  outcome?: "done" | "stopped" | "failed" | "lost";
  /** Why it failed, if the server tells. */
  error?: string;
  /** The stream on which it goes on, if its process has stopped and another one does the rest. */
  resumed_on?: string;
}

export interface Options {
  /** Begin after this cursor. The default is what the server's view says. */
  cursor?: string;
  /**
   * Loads the page's state and returns the cursor that was taken *before* it was read. Called first, unless there is
   * a `cursor`, and again after every gap. Events go on after the cursor. If it fails, it is called again later.
   */
  load?: () => string | Promise<string>;
  /** Handlers by the events' names. `data` is parsed if it is JSON, and text otherwise. */
  on?: Record<string, (data: any, event: StreamEvent) => unknown>;
  /** Events are lost for good. With `load`, the state is loaded next. */
  gap?: (detail: Gap) => unknown;
  /** A stream has ended. */
  end?: (detail: End) => unknown;
  /** The state has changed. */
  state?: (now: State, why?: Why) => unknown;
  /**
   * Whether tabs of this origin that connect to the same URL, with the same headers, share one connection. The
   * default is true. A name: tabs share that say the same name, whatever their URLs, as where each has its own
   * grant in it. Where there are no Web Locks (over plain HTTP from another machine), each has its own.
   */
  share?: boolean | string;
  /**
   * Further headers of the request. Another origin has to allow them by CORS. They are read anew for each request: so
   * `renew` may put a new token in.
   */
  headers?: Record<string, string>;
  /** Send cookies to another origin, too. */
  withCredentials?: boolean;
  /** false: `data` is always text. */
  json?: boolean;
  /**
   * Called on 401 and 403, before it gives up: gets what is missing and returns true, or a new URL. It then goes on
   * at the same place. Anything else, or a second refusal, means `refused`. If it throws, it is called again later.
   * Also called, without a status, well before a right ends of which the server has told the end: what it returns is
   * used when the connection is made next.
   *
   * Or the URL of what answers so: with the new URL as text, or without any where a cookie has been set; 4xx is no.
   */
  renew?: string | URL | ((status?: number) => boolean | string | void | Promise<boolean | string | void>);
}

export interface Stream {
  readonly state: State;
  /** Close it for good. No handler is called any more. */
  close(): void;
}

/** Connect to a stream of events. `url` is relative to the page. */
export function connect(url: string | URL, options?: Options): Stream;

/**
 * A parser of event streams (WHATWG HTML, section 9.2.6): takes bytes, cut anywhere.
 *
 * frame: called at each blank line; `id` is undefined as long as none has come, `data` if there is none,
 * `stream` where the server doesn't say.
 * retry: called with a new reconnection time in milliseconds.
 */
export function parser(
  frame: (name: string, id: string | undefined, data: string | undefined, stream: string | undefined) => void,
  retry: (time: number) => void,
): (bytes: Uint8Array) => void;
