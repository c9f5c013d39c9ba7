/** What processes have told of themselves, and what is made of it. No document here. */

export const SPAN = 180; // seconds that curves show
const STEP = 2;
const MISSED = 3; // so many summaries that don't come, and a process is gone
const GRACE = 1; // second
const SHORT = 1; // second
const RECENT = 60; // seconds for which what has grown is told
const GONE_FOR = 600; // seconds for which a process is shown that is gone
const MOST = 1000; // processes

const HUGE = 2 ** 53; // beyond it, a second more is the same number

const number = (value) => (Number.isFinite(value) && Math.abs(value) <= HUGE ? value : 0);
const text = (value) => (typeof value === "string" ? value : "");
const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
const list = (value) => (Array.isArray(value) ? value : []);
export const sum = (values) => values.reduce((all, value) => all + number(value), 0);

const each = (value, of) => Object.fromEntries(Object.entries(object(value)).map(([key, one]) => [key, of(one)]));

const NUMBERS = ["since", "every", "viewers", "running", "watched", "published", "delivered", "bytes", "opened", "cpu", "slow", "retries", "failures", "missed_bells", "damaged"];
const MAYBE = ["bell_seconds", "loop_lag", "memory"]; // null, where nobody can tell
const COUNTS = ["clients", "waiting", "gaps", "turned_away", "dropped"];

/** A summary whose fields are what they should be, whoever has written it. */
function tidy(told) {
  const tidied = { ...told, at: number(told.at), versions: each(told.versions, text) };
  for (const field of NUMBERS) if (field in told) tidied[field] = number(told[field]);
  for (const field of MAYBE) tidied[field] = Number.isFinite(told[field]) ? number(told[field]) : null;
  for (const field of COUNTS) tidied[field] = each(told[field], number);
  return tidied;
}

/** What is counted of what went wrong: its title, and how often it was, by cause, in a summary. */
export const FAULTS = [
  ["Gaps", (told) => object(told.gaps), "what readers were told is missing"],
  ["Slow clients", (told) => ({ "": told.slow }), "decisions against clients that can't keep up"],
  ["Turned away", (told) => object(told.turned_away), "clients that were never connected"],
  ["Events lost", (told) => object(told.dropped), "events of send_soon that weren't published"],
  ["Publish retries", (told) => ({ "": told.retries }), "attempts to write that failed, and were followed by another"],
  ["Read failures", (told) => ({ "": told.failures }), "times that the log couldn't be read"],
  ["Missed bells", (told) => ({ "": told.missed_bells }), "streams found grown without a bell"],
  ["Damaged", (told) => ({ "": told.damaged }), "entries that can't be read"],
];

/** A text for people: how long that is. */
export function ago(seconds) {
  const whole = Math.max(0, Math.round(number(seconds)));
  if (whole < 100) return `${whole} s`;
  if (whole < 6000) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} days`;
}

/** A process: its newest summary, `rates` by the second, when it was `heard`, and what it told before. */
class Process {
  constructor(id, clock) {
    this.id = id;
    this.clock = clock; // its host's
    this.past = []; // [at, clients, published, delivered, bytes, cpu]
    this.counts = []; // [at, of each of FAULTS]
    this.rates = { published: 0, delivered: 0, bytes: 0, opened: 0, cpu: 0 };
  }

  take(told, heard) {
    if (this.told && number(told.at) <= number(this.told.at)) return;
    this.told = told;
    this.heard = heard;
    this.clients = Math.max(0, sum(Object.values(object(told.clients))) - number(told.viewers));
    this.measure(told);
    const { published, delivered, bytes, cpu } = this.rates;
    this.past.push([number(told.at), this.clients, published, delivered, bytes, cpu, number(told.bell_seconds), number(told.loop_lag)]);
    while (this.past.length > 1 && this.past[1][0] < told.at - SPAN - 10) this.past.shift();
    this.counts.push([number(told.at), FAULTS.map(([, count]) => sum(Object.values(count(told))))]);
    while (this.counts.length > 1 && this.counts[1][0] < told.at - RECENT) this.counts.shift();
  }

  /** Rates are of what lies a second back, at least: within less a few events are a peak. */
  measure(told) {
    const { base } = this;
    const seconds = base ? number(told.at) - number(base.at) : 0;
    const groups = Object.entries(object(told.groups)).slice(0, 60);
    if (base && seconds < SHORT) {
      const known = new Map(this.groups.map(([name, , rate]) => [name, rate]));
      this.groups = groups.map(([name, one]) => [name, number(one?.clients), known.get(name) ?? 0]);
      return;
    }
    const rate = (now, before) => (base ? Math.max(0, number(now) - number(before)) / seconds : 0);
    for (const name of Object.keys(this.rates)) this.rates[name] = rate(told[name], base?.[name]);
    this.groups = groups.map(([name, one]) => [name, number(one?.clients), rate(one?.published, object(base?.groups)[name]?.published)]);
    this.base = told;
  }

  get every() {
    return Math.min(5, number(this.told.every)) || 5;
  }

  isSilent(now) {
    return now - this.heard > this.every * 1.5 + GRACE;
  }

  /** What is wrong with it: { level, what, seconds }. */
  wrong(now) {
    const silent = now - this.heard;
    const found = list(this.told.wrong).slice(0, 9).map((one) => ({
      level: text(one?.what) === "starting" || text(one?.what) === "stopping" ? "warn" : "wrong",
      what: [text(one?.what), text(one?.detail)].filter(Boolean).join(": "),
      seconds: number(one?.seconds) + silent,
    }));
    if (this.told.live === false) found.push({ level: "wrong", what: "only a restart mends it", seconds: 0 });
    if (this.isSilent(now)) found.push({ level: "warn", what: "silent", seconds: silent });
    return found;
  }
}

/** See the module. Times are in seconds, by one clock. `happened(level, what)` is told what changes. */
export class Processes {
  constructor(happened) {
    this.happened = happened;
    this.all = new Map();
    this.gone = new Map();
    this.newest = 0; // when the newest was told: it begins at 0
    this.newestHeard = 0;
    this.clocks = new Map(); // of hosts: how far they are ahead of that
    this.levels = new Map();
  }

  /** Take what a process has told. early: it may have told this a while ago. */
  take(given, now, early) {
    const id = text(object(given).process);
    if (!id) return;
    const told = tidy(given);
    const clock = this.clockOf(text(told.host), told.at);
    if (told.at - clock.ahead >= this.newest) [this.newest, this.newestHeard] = [told.at - clock.ahead, now];
    if (told.bye === true) {
      const stopped = this.all.get(id);
      if (this.all.delete(id)) this.leave(stopped, now, "has stopped", "good", early);
      return;
    }
    let process = this.all.get(id);
    if (!process) {
      if (this.all.size >= MOST) return;
      this.all.set(id, (process = new Process(id, clock)));
      const back = this.gone.delete(id);
      if (!early) this.happened("good", `${name(told)} ${back ? "is back" : "has come"}`);
    }
    process.take(told, early ? now - (this.newest - told.at + clock.ahead) : now);
    process.early = early;
  }

  /** The first that a host tells was told with what came just before. */
  clockOf(host, at) {
    let clock = this.clocks.get(host);
    if (!clock) this.clocks.set(host, (clock = { ahead: at - this.newest }));
    if (this.clocks.size > MOST) this.clocks.delete(this.clocks.keys().next().value);
    return clock;
  }

  /** Whether there are processes, and none of them has told anything when it should have. */
  allSilent(now) {
    return this.all.size > 0 && this.list.every((process) => process.isSilent(now));
  }

  /** Nobody could be heard for so many seconds: nobody was silent then. */
  forgive(seconds) {
    this.newestHeard += seconds;
    for (const process of this.all.values()) process.heard += seconds;
  }

  /** Leave out who has told nothing for too long, and say what has changed. early: as for `take`. */
  look(now, early = false) {
    for (const [id, process] of this.all) {
      // What was told before the page came is as old as it is beside the newest that was told.
      process.early &&= early;
      if (process.early) process.heard = Math.min(process.heard, this.newestHeard - (this.newest - process.told.at + process.clock.ahead));
      if (now - process.heard > MISSED * process.every + GRACE) {
        this.all.delete(id);
        this.leave(process, now, "is gone, without a word", "wrong", process.early);
        continue;
      }
      this.tellChange(process, now);
    }
    for (const [id, { at }] of this.gone) if (now - at > GONE_FOR) this.gone.delete(id);
  }

  leave(process, now, how, level, early) {
    const known = name(process.told);
    this.levels.delete(process.id);
    this.gone.set(process.id, { at: now, name: known, how, past: process.past, clock: process.clock, early });
    if (this.gone.size > MOST) this.gone.delete(this.gone.keys().next().value);
    if (!early) this.happened(level, `${known} ${how}`);
  }

  tellChange(process, now) {
    const found = process.wrong(now).filter(({ what }) => what !== "starting");
    const wrong = found.map(({ what }) => what);
    const before = this.levels.get(process.id) ?? [];
    for (const { level, what } of found) if (!before.includes(what)) this.happened(level, `${name(process.told)}: ${what}`);
    if (before.length && !wrong.length) this.happened("good", `${name(process.told)} is well again`);
    this.levels.set(process.id, wrong);
  }

  get list() {
    return [...this.all.values()];
  }

  /** How often each of FAULTS was: { total, recent, causes }. */
  faults() {
    return FAULTS.map(([, count], place) => {
      const causes = new Map();
      for (const { told } of this.list)
        for (const [cause, times] of Object.entries(count(told)).slice(0, 50)) causes.set(cause, (causes.get(cause) ?? 0) + number(times));
      const recent = sum(this.list.map(({ counts }) => counts.at(-1)[1][place] - counts[0][1][place]));
      return { total: sum([...causes.values()]), recent: Math.max(0, recent), causes };
    });
  }

  /** The points of a curve, one for each step of the last SPAN seconds: null where nobody had told anything. */
  curve(place, now, join = sum) {
    const points = [];
    const all = [...this.list, ...this.gone.values()].map(({ past, how, clock }) => {
      return { past, at: 0, end: this.newest + (now - this.newestHeard) + clock.ahead, until: how ? past.at(-1)[0] + 2 * STEP : Infinity };
    });
    for (let age = SPAN; age >= 0; age -= STEP) {
      const values = [];
      for (const one of all) {
        const time = one.end - age;
        while (one.at + 1 < one.past.length && one.past[one.at + 1][0] <= time) one.at += 1;
        if (one.past[one.at]?.[0] <= time && time <= one.until) values.push(one.past[one.at][place]);
      }
      points.push(values.length ? join(values) : null);
    }
    return points;
  }

  /** Streams by their names, and groups by theirs, of all processes. */
  streams() {
    return this.addUp(({ told }) => list(told.streams).map((one) => [text(one?.name), number(one?.clients), number(one?.published)]));
  }

  groups() {
    return this.addUp(({ groups }) => groups);
  }

  /** The runs that processes tell of, of each at most 40, and how many there are: { runs, running }. */
  runs(now) {
    const runs = new Map();
    for (const { id, told, heard } of this.list)
      for (const one of list(told.runs).slice(0, 40)) {
        const stream = text(one?.stream);
        const seconds = number(one?.seconds) + Math.max(0, now - heard);
        const entries = number(one?.entries);
        if (stream) runs.set(JSON.stringify([id, stream]), { stream, process: name(told), seconds, entries, stopping: one.stopping === true });
      }
    const running = sum(this.list.map(({ told }) => told.running));
    return { runs: [...runs].map(([id, run]) => ({ id, ...run })), running: Math.max(running, runs.size) };
  }

  addUp(lines) {
    const found = new Map();
    for (const process of this.list)
      for (const [name, clients, published] of lines(process).slice(0, 60)) {
        const line = found.get(name) ?? { name, clients: 0, published: 0, told: 0 };
        line.told += 1;
        line.clients += clients;
        line.published += published;
        if (name) found.set(name, line);
      }
    return [...found.values()];
  }
}

/** The name of a process, for people. */
export function name(told) {
  const [host, pid] = text(told.process).split(":");
  const manager = text(told.manager);
  return `${host}:${pid ?? ""}${manager && manager !== "default" ? ` (${manager})` : ""}`.slice(0, 300);
}
