// What the live page makes of summaries.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";

const source = readFileSync(new URL("../../../streamy_core/live_page/files/processes.js", import.meta.url), "utf8");
const { Processes, ago, name } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

let happened;
let processes;

beforeEach(() => {
  happened = [];
  processes = new Processes((level, what) => happened.push([level, what]));
});

const summary = (more) => ({ process: "web:1:a", at: 1000, since: 900, every: 2, clients: { detached: 5 }, ...more });
const wrong = (now) => processes.list[0].wrong(now).map(({ what }) => what);

test("rates are of the last two summaries, and totals that fall are of none", () => {
  processes.take(summary({ published: 100, cpu: 1 }), 0);
  processes.take(summary({ at: 1002, published: 150, cpu: 1.5 }), 2);
  assert.equal(processes.list[0].rates.published, 25);
  assert.equal(processes.list[0].rates.cpu, 0.25);
  processes.take(summary({ at: 1004, published: 3 }), 4);
  assert.equal(processes.list[0].rates.published, 0);
});

test("two summaries in a row make no peak", () => {
  const groups = (published) => ({ room: { clients: 1, published } });
  processes.take(summary({ published: 100, groups: groups(100) }), 0);
  processes.take(summary({ at: 1002, published: 120, groups: groups(120) }), 2);
  processes.take(summary({ at: 1002.1, published: 125, groups: groups(125) }), 2.1);
  assert.deepEqual([processes.list[0].rates.published, processes.groups()[0].published], [10, 10]);
  processes.take(summary({ at: 1004, published: 140, groups: groups(140) }), 4);
  assert.deepEqual([processes.list[0].rates.published, processes.groups()[0].published], [10, 10]);
});

test("who says nothing is silent, then gone, and back when it speaks again", () => {
  processes.take(summary(), 0);
  processes.look(3);
  assert.deepEqual(wrong(3), []);
  processes.look(5);
  assert.deepEqual(wrong(5), ["silent"]);
  processes.look(8);
  assert.deepEqual([processes.list.length, [...processes.gone.values()][0].name], [0, "web:1"]);
  processes.take(summary({ at: 1010 }), 10);
  assert.deepEqual(happened.map(([level, what]) => `${level} ${what}`), [
    "good web:1 has come",
    "warn web:1: silent",
    "wrong web:1 is gone, without a word",
    "good web:1 is back",
  ]);
});

test("nobody is silent while there is no connection, or the page sleeps", () => {
  processes.take(summary(), 0);
  processes.forgive(3600);
  processes.look(3602);
  assert.deepEqual(wrong(3602), []);
});

test("who stops says so, which is no fault", () => {
  processes.take(summary(), 0);
  processes.take({ process: "web:1:a", at: 1001, bye: true }, 1);
  assert.deepEqual([processes.list.length, happened.at(-1)], [0, ["good", "web:1 has stopped"]]);
});

test("who was gone before the page came is neither shown nor told of", () => {
  processes.take(summary({ process: "dead:1:a", at: 900 }), 0, true);
  processes.take(summary(), 0, true);
  processes.look(1, true);
  assert.deepEqual([processes.list.map(({ id }) => id), happened], [["web:1:a"], []]);
});

test("an outage soon after the page came makes nobody gone", () => {
  processes.take(summary(), 0, true);
  processes.take(summary({ process: "web:2:b" }), 0, true);
  processes.look(1, true);
  processes.look(2);
  processes.forgive(20);
  processes.take(summary({ at: 1022 }), 22);
  processes.look(23);
  assert.deepEqual([processes.list.length, happened], [2, []]);
});

test("a curve has what was told before the page came, and those that are gone", () => {
  for (let at = 900; at <= 1000; at += 2) processes.take(summary({ at, process: "a:1:x" }), 0, true);
  for (let at = 990; at <= 1000; at += 2) processes.take(summary({ at, process: "b:1:x" }), 0, true);
  let points = processes.curve(1, 0);
  assert.deepEqual([points[0], points.at(-20), points.at(-1)], [null, 5, 10]);
  processes.take({ process: "b:1:x", at: 1001, bye: true }, 1);
  processes.take(summary({ at: 1020, process: "a:1:x" }), 20);
  points = processes.curve(1, 20);
  assert.deepEqual([Math.max(...points), points.at(-1)], [10, 5]);
});

test("what went wrong is added up by cause, and what is recent is told", () => {
  processes.take(summary({ gaps: { trimmed: 3 } }), 0);
  processes.take(summary({ process: "web:2:b", gaps: { trimmed: 1, skipped: 1 } }), 0);
  assert.deepEqual([processes.faults()[0].total, processes.faults()[0].recent], [5, 0]);
  processes.take(summary({ at: 1002, gaps: { trimmed: 7 } }), 2);
  const [{ total, recent, causes }] = processes.faults();
  assert.deepEqual([total, recent, [...causes]], [9, 4, [["trimmed", 8], ["skipped", 1]]]);
});

test("streams and groups are those of all processes", () => {
  const streams = [{ name: "__proto__", clients: 2, published: 1 }];
  processes.take(summary({ streams, groups: { room: { clients: 2, published: 10 } } }), 0);
  processes.take(summary({ process: "web:2:b", streams, groups: { room: { clients: 1, published: 0 } } }), 0);
  processes.take(summary({ at: 1002, streams, groups: { room: { clients: 2, published: 30 } } }), 2);
  assert.deepEqual(processes.streams(), [{ name: "__proto__", clients: 4, published: 2, told: 2 }]);
  assert.deepEqual(processes.groups(), [{ name: "room", clients: 3, published: 10, told: 2 }]);
});

test("runs are those of all processes, as long as they go on", () => {
  const runs = [{ stream: "__proto__", seconds: 10, entries: 3, stopping: true }, { stream: "job:1" }, { stream: 7 }, null];
  processes.take(summary({ runs, running: 42 }), 0);
  processes.take(summary({ process: "web:2:b", runs: [{ stream: "job:1", seconds: 1 }], running: 1 }), 1);
  const found = processes.runs(3);
  assert.equal(found.running, 43);
  assert.deepEqual(
    found.runs.map(({ stream, process, seconds, entries, stopping }) => [stream, process, seconds, entries, stopping]),
    [["__proto__", "web:1", 13, 3, true], ["job:1", "web:1", 3, 0, false], ["job:1", "web:2", 3, 0, false]],
  );
  assert.equal(new Set(found.runs.map(({ id }) => id)).size, 3);
  processes.take(summary({ at: 1002, runs: [], running: 0 }), 3);
  assert.equal(processes.runs(3).running, 1);
});

test("hosts whose clocks are apart are all shown, from the first look on", () => {
  for (const at of [1000, 1005])
    for (const [host, ahead] of [["a", 0], ["b", 60], ["c", -60], ["d", 2 ** 52]])
      processes.take(summary({ process: `${host}:1:x`, host, at: at + ahead }), 0, true);
  processes.look(1, true);
  assert.deepEqual(processes.list.map(({ id }) => id[0]), ["a", "b", "c", "d"]);
  assert.deepEqual(processes.curve(1, 1).slice(-3), [20, 20, 20]);
  assert.deepEqual(processes.curve(1, 1).slice(0, -5).filter((point) => point !== null), []);
});

test("a host after whose last word others have told for long was gone before the page came", () => {
  processes.take(summary({ process: "other:1:x", host: "other", at: 1000 }), 0, true);
  processes.take(summary({ process: "dead:1:x", host: "dead", at: 5000 }), 0, true);
  processes.take(summary({ process: "other:1:x", host: "other", at: 1030 }), 0, true);
  processes.look(1, true);
  assert.deepEqual([processes.list.map(({ id }) => id), happened], [["other:1:x"], []]);
});

test("a time that nobody lives to see stops nothing", () => {
  processes.take(summary({ at: 1e300 }), 0);
  assert.ok(processes.curve(1, 1).length < 100);
});

test("what is told is what it should be", () => {
  const object = { toString: 1, valueOf: 1 };
  const fields = ["at", "since", "memory", "bell_seconds", "loop_lag", "watched", "published", "viewers", "cpu"];
  const told = Object.fromEntries(fields.map((field) => [field, object]));
  processes.take(summary({ ...told, versions: { server: object }, clients: { wsgi: object }, waiting: "text" }), 0);
  const [process] = processes.list;
  for (const field of fields) assert.ok(process.told[field] === null || process.told[field] === 0, field);
  assert.deepEqual([process.told.versions, process.told.clients, process.told.waiting], [{ server: "" }, { wsgi: 0 }, {}]);
});

test("whatever is told, nothing breaks", () => {
  const hostile = [null, 7, "x", [], {}, NaN, 1e400, true, { length: 1e9 }];
  for (const told of [...hostile, "x"]) processes.take(told, 0);
  assert.equal(processes.list.length, 0);
  for (const value of hostile)
    for (const field of Object.keys(summary({ streams: 0, runs: 0, running: 0, groups: 0, wrong: 0, gaps: 0, waiting: 0, live: 0, every: 0, bye: 0, versions: 0 })))
      if (field !== "process") processes.take(summary({ at: 1001, [field]: value }), 1);
  processes.look(2);
  processes.faults();
  processes.curve(1, 2);
  processes.streams();
  processes.runs(2);
  processes.groups();
  for (const process of processes.list) assert.ok(name(process.told));
});

test("times are for people", () => {
  assert.deepEqual([0.2, 59, 125, 7200, 400_000, NaN].map(ago), ["0 s", "59 s", "2 min", "2 h", "5 days", "0 s"]);
});
