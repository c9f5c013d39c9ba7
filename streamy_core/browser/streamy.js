/* Streamy's half in the page; streamy.d.ts says what all means. MIT licence. */

const PATIENCE = 30_000; // ms
const REFUSAL = /^4(?!08|25|29)/;

export function connect(url, options = {}) {
  const { cursor, load, on = {}, gap, end, state, share = true, headers, withCredentials, json = true, renew } = options;
  const page = globalThis.document;
  const life = new AbortController();
  const credentials = withCredentials ? "include" : "same-origin";

  let address = new URL(url, page?.baseURI);
  let place = cursor; // all up to here has been handed over
  let stale = load && cursor === undefined; // the page's state has to be loaded
  let loads = 0; // since the last event
  let now, over, asleep, renewed, attempt, poke;
  let retry = 3000;
  let away = Date.now(); // since when; 0: it is live

  const call = (handler, ...given) => {
    try {
      handler?.(...given);
    } catch (error) {
      report(error);
    }
  };

  const say = (next, why) => {
    if (now !== next) {
      now = next;
      call(state, next, why);
    }
    if (leader) tell({ at: place, now, why });
  };

  /** Hands over an event, or its place. */
  const pass = ({ id, type, raw, stream }) => {
    place = id; // first: what a handler fails at isn't repeated
    if (type === "streamy.gap") {
      stale = load;
      call(gap, parsed(raw));
      if (stale) attempt?.abort();
    } else if (type === "streamy.end") {
      call(end, parsed(raw));
      // Joint cursors begin so: others may go on.
      if (!/^[._-]/.test(id)) finish("ended", { reason: "end" });
    } else if (type) {
      loads = 0;
      if (Object.hasOwn(on, type)) call(on[type], json ? parsed(raw) : raw, { id, type, raw, stream });
    }
  };

  const finish = (last, why) => {
    if (over) return;
    leave();
    say(last, why);
    stop();
  };

  const stop = () => {
    over = true;
    now = now === "refused" ? now : "ended";
    leave();
    life.abort();
    attempt?.abort();
    poke?.();
  };

  /** Reads one connection. Returns why it ended, unless we did it. */
  const read = async (signal) => {
    let at = Date.now();
    let limit = PATIENCE;
    let opened, timer;
    const frame = (name, id, raw, stream) => {
      if (signal.aborted) return;
      const opening = name === "streamy.open";
      const entry = { prev: place, id: id ?? place ?? "", type: raw === undefined || opening ? "" : name, raw, stream };
      if (opening) {
        const { keep_alive, until } = parsed(raw) ?? {};
        limit = keep_alive * 1500 + 1000 || Infinity;
        // Before its end, but not all pages at once.
        if (until && renew) timer = setTimeout(() => ask().catch(report), until * (500 + Math.random() * 250));
      } else if (!opened) limit = Infinity;
      if (entry.type || entry.id !== entry.prev) {
        if (leader) tell(entry);
        pass(entry);
      }
      if (signal.aborted) return;
      if (!opened) say("live");
      opened = true;
      renewed = false;
      away = 0;
      if (!leader) follow();
    };
    const feed = parser(frame, (time) => (retry = time));
    // By the wall clock: others sleep.
    const watch = setInterval(() => Date.now() - at > limit && attempt.abort("silent"), 1000);
    try {
      const target = new URL(address);
      const given = { Accept: "text/event-stream, text/event-stream;streams=1", ...headers };
      if (place && target.origin === page?.location.origin) given["Last-Event-ID"] = place;
      else if (place) target.searchParams.set("last_event_id", place); // a header would need a preflight
      const response = await fetch(target, { headers: given, credentials, cache: "no-store", signal });
      const { status } = response;
      const kind = response.headers.get("Content-Type") ?? "";
      if (status !== 200 || !/^text\/event-stream\b/i.test(kind)) {
        response.body?.cancel();
        return await turnedAway(status, response.headers.get("Retry-After"));
      }
      const reader = response.body.getReader();
      for (let part; !(part = await reader.read()).done; feed(part.value)) at = Date.now();
      return { reason: "closed" };
    } catch (error) {
      if (signal.reason === "silent" || !signal.aborted) return { reason: signal.reason ?? "network" };
    } finally {
      clearInterval(watch);
      clearTimeout(timer);
    }
  };

  /** Renews the right. Throws if that may work later. */
  const ask = async (status) => {
    let fresh = await (renew.call ? renew(status) : fetch(renew, { headers, credentials, cache: "no-store" }));
    if (fresh?.text) {
      if (!fresh.ok && !REFUSAL.test(fresh.status)) throw fresh;
      fresh = fresh.ok && ((await fresh.text()) || true);
    }
    if (fresh && fresh !== true) address = new URL(fresh, page?.baseURI);
    return fresh;
  };

  const turnedAway = async (status, after) => {
    if (status === 204) return finish("ended", { reason: "status", status });
    if (/^40[13]/.test(status) && renew && !renewed) {
      const fresh = await ask(status);
      renewed = true;
      if (fresh) return;
    }
    if (REFUSAL.test(status)) return finish("refused", { reason: "status", status });
    const wait = after ? (isNaN(after) ? Date.parse(after) - Date.now() : after * 1000) : 0;
    return { reason: status === 200 ? "type" : "status", status, wait: Math.min(Math.max(wait, 0) || 0, 3_600_000) };
  };

  /** Loads the state. Returns why it couldn't. */
  const reload = async (signal) => {
    try {
      await pause(Math.random() * Math.min(PATIENCE, 2 ** loads++ * 20 - 20));
      const start = await load();
      if (signal.aborted) return;
      stale = false;
      place = start;
      if (leader) tell({ at: place, now });
      else follow();
    } catch (error) {
      report(error);
      return { reason: "load" };
    }
  };

  const run = async () => {
    while (!over) {
      if (asleep || (level && !leader)) {
        await pause();
        continue;
      }
      if (now !== "live") say("connecting");
      attempt = new AbortController();
      const { signal } = attempt;
      if (!leader) tell({ ask: true });
      const why = (stale && (await reload(signal))) || (signal.aborted ? undefined : await read(signal));
      if (!why || over) continue;
      away ||= Date.now();
      const longest = Math.max(retry, Math.min(PATIENCE, (Date.now() - away) / 2));
      const delay = Math.random() * longest + (why.wait ?? 0);
      say("waiting", { reason: why.reason, status: why.status, delay });
      await pause(delay);
    }
  };

  /** Waits, or until `poke`. */
  const pause = (time) =>
    new Promise((done) => {
      const timer = time === undefined ? 0 : setTimeout(done, Math.min(time, 2 ** 31 - 1));
      poke = () => {
        clearTimeout(timer);
        done();
      };
    });

  // Of tabs that share a connection, one leads, and tells the others.

  const key = new URL(address);
  key.searchParams.delete("last_event_id"); // each page's own
  const name = `streamy ${share === true ? [key, JSON.stringify([headers, withCredentials])] : share}`;
  const shares = share && globalThis.navigator?.locks && globalThis.BroadcastChannel;

  let channel, line, release;
  let leader = false;
  let level = false; // at the leader's place
  let ahead, theirs; // the leader's place and state
  let heard = []; // what we haven't handed over

  const tell = (message) => channel?.postMessage(message);

  const hear = ({ data: message }) => {
    if (message.ask && leader) say(now);
    if (message.ask || leader) return;
    if ("at" in message) {
      if (message.at !== ahead) heard = [];
      ahead = message.at;
      theirs = message;
    } else {
      if (message.prev !== ahead) heard = [];
      if (heard.push(message) > 999) heard.shift();
      ahead = message.id;
    }
    follow();
  };

  /** Goes on with what the leader has told. */
  const follow = () => {
    const was = level;
    const next = () => (stale || over || place === undefined ? -1 : heard.findIndex(({ prev }) => prev === place));
    for (let i; (i = next()) >= 0; ) pass(heard.splice(0, i + 1).pop());
    level = !stale && !over && ahead !== undefined && place === ahead;
    if (level) {
      heard = [];
      attempt?.abort();
      if (theirs?.now) say(theirs.now, theirs.why);
    } else if (was) poke?.();
  };

  const join = () => {
    if (!shares) return;
    channel = new BroadcastChannel(name);
    channel.onmessage = hear;
    const { signal } = (line = new AbortController());
    const lead = () =>
      new Promise((done) => {
        if (signal.aborted) return done();
        release = done;
        leader = true;
        heard = [];
        say(now);
        poke?.();
      });
    navigator.locks.request(name, { signal }, lead).catch(() => {});
  };

  const leave = () => {
    line?.abort();
    release?.();
    channel?.close();
    channel = ahead = theirs = undefined;
    leader = level = false;
    heard = [];
  };

  const listen = (target, event, handler) => target?.addEventListener?.(event, handler, life);

  const sleep = () => {
    asleep = true;
    leave();
    attempt?.abort();
  };

  const wake = () => {
    if (!asleep || over) return;
    asleep = false;
    join();
    poke?.();
  };

  listen(globalThis, "pagehide", sleep); // closed, or kept to be shown again
  listen(globalThis, "pageshow", wake);
  listen(page, "freeze", sleep);
  listen(page, "resume", wake);
  listen(globalThis, "online", () => {
    attempt?.abort();
    poke?.();
  });

  join();
  queueMicrotask(run);
  return {
    get state() {
      return now ?? "connecting";
    },
    close: stop,
  };
}

const report = (error) => (globalThis.reportError ?? console.error)(error);

const parsed = (raw) => {
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
};

/** A parser of event streams: WHATWG HTML, section 9.2.6. */
export function parser(frame, retry) {
  const decoder = new TextDecoder(); // drops a byte order mark
  let rest = "";
  let afterCr = false;
  let name = "";
  let data = [];
  let id, stream;

  const take = (line) => {
    if (!line) {
      frame(name || "message", id, data.length ? data.join("\n") : undefined, stream);
      name = "";
      stream = undefined;
      data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (field === "data") data.push(value);
    else if (field === "event") name = value;
    else if (field === "stream") stream = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) retry(+value);
  };

  return (bytes) => {
    let text = decoder.decode(bytes, { stream: true });
    if (!text) return;
    if (afterCr && text[0] === "\n") text = text.slice(1); // the second half of a CR LF
    afterCr = text.at(-1) === "\r";
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = rest + lines[0];
    rest = lines.pop();
    lines.forEach(take);
  };
}
