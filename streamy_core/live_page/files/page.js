/** The live page: draws what all processes tell, once a second. */

import { connect } from "../streamy.js";
import { bytes, count, make, many, mark, percent, rate, seconds, table, tile, write } from "./draw.js";
import { FAULTS, Processes, ago, name, sum } from "./processes.js";
import { runsPanel } from "./runs.js";
import { ask, disconnectForm, streamPanel } from "./streams.js";

const EARLY = 1.5; // seconds in which what comes may have been told before
const KEPT = 100; // lines of what happened
const element = (id) => document.getElementById(id);
const ASK_EVERY = 2; // seconds
const AWAY = 4; // seconds between two looks, after which the page was asleep
const passed = () => performance.now() / 1000;

let lived = null; // since when there was a connection first
let lostAt = null; // since when nobody can be heard
let wrongHere = []; // why not, as the process that answers says it, where there is a connection
let askedAt = 0;
let lookedAt = passed();

/** The time, which stands still while nobody can be heard: then nobody can be called silent. */
const now = () => lostAt ?? passed();

const isEarly = () => lived === null || now() - lived < EARLY;

function hearAgain() {
  if (lostAt !== null) processes.forgive(passed() - lostAt);
  if (wrongHere.length) happened("good", "Processes can be heard again");
  lostAt = null;
  wrongHere = [];
}

/** Where all are silent, see whether that is for what they tell it by: the broker, the process that answers. */
async function askWhy() {
  if (passed() - askedAt < ASK_EVERY) return;
  askedAt = passed();
  const { wrong } = await ask("overview/about");
  if (source.state !== "live") return;
  if (!wrong.length) return hearAgain();
  if (!wrongHere.length) happened("wrong", `Nothing is heard of any process: ${wrong.map(({ what }) => what).join(", ")}`);
  [wrongHere, lostAt] = [wrong, now()];
}

const processes = new Processes(happened);

function happened(level, what) {
  const lines = element("happened");
  lines.querySelector(".quiet")?.remove();
  const line = make("li", {}, make("time", {}, new Date().toLocaleTimeString()), make("span", { "data-level": level }, what));
  lines.prepend(line);
  while (lines.children.length > KEPT) lines.lastChild.remove();
}

const source = connect("overview/live", {
  share: false,
  on: {
    message() {},
    summary(told) {
      if (wrongHere.length) hearAgain();
      processes.take(told, now(), isEarly());
      if (document.hidden) draw(); // timers are slow then, and the title tells how it is
    },
  },
  state(state, why) {
    if (state === "live") {
      lived ??= now();
      hearAgain();
    } else if (lived !== null) lostAt ??= passed();
    mark(element("link"), "data-state", state);
    write(element("link"), state === "waiting" ? "connection lost, trying again" : state);
    if (state === "refused") banner([["wrong", `You are not let in any more${why?.status ? ` (${why.status})` : ""}: load the page again.`]]);
  },
});

const streams = streamPanel(happened);
disconnectForm(happened);
const drawRuns = runsPanel(happened, streams.open);

const most = (values) => Math.max(...values, 0);
const tiles = [
  ["Clients", 1, sum, count, () => detail()],
  ["Published / s", 2, sum, rate, (all) => `${many(sum(all.map(({ told }) => told.published)))} in all`],
  ["Delivered / s", 3, sum, rate, (all) => `${many(sum(all.map(({ told }) => told.delivered)))} in all`],
  ["Sent / s", 4, sum, bytes, (all) => `${bytes(sum(all.map(({ told }) => told.bytes)))} in all`],
  ["Broker delay", 6, most, seconds, (all) => `loop up to ${seconds(most(all.map(({ told }) => told.loop_lag ?? 0)))} late`],
  ["CPU", 5, sum, percent, (all) => `${bytes(sum(all.map(({ told }) => told.memory ?? 0)))} of memory`],
].map(([title, ...rest]) => [tile(element("tiles"), title), ...rest]);

function detail() {
  const by = new Map();
  for (const { told } of processes.list)
    for (const [delivery, clients] of Object.entries(told.clients ?? {})) by.set(delivery, (by.get(delivery) ?? 0) + clients);
  const waits = sum(processes.list.map(({ told }) => told.waiting?.replays ?? 0));
  const parts = [...by].filter(([, clients]) => clients).map(([delivery, clients]) => `${many(clients)} ${delivery}`);
  const viewers = sum(processes.list.map(({ told }) => told.viewers));
  if (viewers) parts.push(viewers === 1 ? "1 this page" : `${viewers} live pages`);
  if (waits) parts.push(`${many(waits)} replays`);
  return parts.slice(0, 4).join(", ");
}

const faults = FAULTS.map(([title, , meaning]) => {
  const parts = { box: make("div", { title: meaning }), value: make("output", {}, "0"), more: make("small") };
  parts.box.append(make("h2", {}, title), parts.value, parts.more);
  element("counts").append(parts.box);
  return parts;
});

const level = (process) => process.wrong(now())[0]?.level;
const drawProcesses = table(
  element("processes"),
  [
    { title: "Process", text: true, value: ({ told }) => name(told) },
    {
      title: "State",
      text: true,
      value: (process) => process.wrong(now())[0]?.what.split(":")[0] ?? "ready",
      show: (what, process) => (process.wrong(now()).length ? `${what} for ${ago(process.wrong(now())[0].seconds)}` : what),
      level: (process) => level(process) ?? "good",
    },
    { title: "Clients", value: ({ clients }) => clients, show: count },
    { title: "Streams", about: "that have clients there", value: ({ told }) => told.watched ?? 0, show: count, wide: true },
    { title: "Published / s", value: ({ rates }) => rates.published, show: rate, wide: true },
    { title: "Delivered / s", value: ({ rates }) => rates.delivered, show: rate },
    { title: "Sent / s", value: ({ rates }) => rates.bytes, show: bytes, wide: true },
    { title: "Broker delay", about: "how long an entry of its own took through the broker and back", value: ({ told }) => told.bell_seconds ?? -1, show: (_, { told }) => seconds(told.bell_seconds), wide: true },
    { title: "Loop late", about: "how late its event loop came to what was due, at worst", value: ({ told }) => told.loop_lag ?? -1, show: (_, { told }) => seconds(told.loop_lag), wide: true },
    { title: "Waiting", about: "events of send_soon, and reads of the log for clients that lag", value: ({ told }) => sum(Object.values(told.waiting ?? {})), show: count, wide: true },
    { title: "CPU", value: ({ rates }) => rates.cpu, show: percent },
    { title: "Memory", value: ({ told }) => told.memory ?? 0, show: (value) => (value ? bytes(value) : "–"), wide: true },
    { title: "Up", value: ({ told }) => told.at - told.since, show: ago, wide: true },
    { title: "Runs on", text: true, wide: true, value: ({ told }) => runsOn(told) },
  ],
  { nothing: "None has told anything yet." },
);
const drawStreams = table(
  element("streams"),
  [
    { title: "Stream", text: true, value: ({ name }) => name, open: ({ name }) => streams.open(name) },
    {
      title: "Clients",
      about: "at least: processes tell only of the streams that are busiest there",
      value: ({ clients }) => clients,
      show: (clients, { told }) => `${told < processes.all.size ? "≥ " : ""}${count(clients)}`,
    },
    { title: "Published / s", value: ({ published }) => published, show: rate },
  ],
  { sortedBy: 1, most: 12, nothing: "No stream has clients." },
);
const drawGroups = table(
  element("groups"),
  [
    { title: "Group", text: true, value: ({ name }) => name },
    { title: "Clients", value: ({ clients }) => clients, show: count },
    { title: "Published / s", value: ({ published }) => published, show: rate },
  ],
  { sortedBy: 1, most: 12, nothing: "None." },
);

function runsOn(told) {
  const { server, backend, streamy, python } = told.versions ?? {};
  return `${server}, ${backend}, streamy ${streamy}, Python ${python}`;
}

function banner(lines) {
  const place = element("banner");
  const worst = lines.some(([found]) => found === "wrong") ? "wrong" : lines[0][0];
  mark(place, "data-level", worst);
  lines.forEach(([, what], index) => {
    if (!place.children[index]) place.append(make("p"));
    write(place.children[index], what);
  });
  while (place.children.length > lines.length) place.lastChild.remove();
  const wrong = lines.filter(([found]) => found !== "good" && found !== "waiting").length;
  document.title = `${wrong ? `(${wrong}) ` : ""}${count(sum(processes.list.map(({ clients }) => clients)))} clients · Streamy`;
}

function findings(grown) {
  const lines = [];
  for (const process of processes.list)
    for (const { level, what, seconds } of process.wrong(now())) lines.push([level, `${name(process.told)} — ${what}${seconds ? `, for ${ago(seconds)}` : ""}`]);
  for (const [title, { recent, causes }] of grown) {
    const named = [...causes.keys()].filter(Boolean).slice(0, 4).join(", ");
    lines.push(["warn", `${title}: ${count(recent)} more within the last minute${named ? ` (${named})` : ""}`]);
  }
  for (const { at, name, how, early } of processes.gone.values())
    if (!early && how !== "has stopped" && now() - at < 120) lines.push(["wrong", `${name} ${how}, ${ago(now() - at)} ago`]);
  const versions = new Set(processes.list.map(({ told }) => `${told.versions?.streamy} on Python ${told.versions?.python}`));
  if (versions.size > 1) lines.push(["warn", `Processes differ: ${[...versions].slice(0, 4).join("; ")}. A deployment that is under way?`]);
  return lines.slice(0, 12);
}

function draw() {
  const slept = passed() - lookedAt;
  if (slept > AWAY && lostAt === null) processes.forgive(slept);
  lookedAt = passed();
  if (processes.allSilent(now())) askWhy().catch(() => {});
  processes.look(now(), isEarly());
  const all = processes.list;
  if (!all.length && source.state === "refused") return;
  for (const [update, place, join, shown, below] of tiles) {
    const points = processes.curve(place, now(), join);
    update(all.length ? shown(points.at(-1) ?? 0) : "–", all.length ? below(all) : "", points, shown);
  }
  const found = processes.faults();
  found.forEach(({ total, recent, causes }, place) => {
    const { box, value, more } = faults[place];
    write(value, many(total));
    const named = [...causes].filter(([cause, times]) => cause && times).map(([cause, times]) => `${many(times)} ${cause}`);
    write(more, [recent ? `+${count(recent)} in a minute` : "", ...named].filter(Boolean).join(" · "));
    mark(box, "data-grows", recent ? "yes" : undefined);
  });
  drawProcesses(all, ({ id }) => id);
  drawStreams(processes.streams(), ({ name }) => name);
  drawGroups(processes.groups(), ({ name }) => name);
  drawRuns(processes.runs(now()));
  const viewers = sum(all.map(({ told }) => told.viewers));
  write(element("processes-count"), `${all.length}${viewers > 1 ? ` · ${viewers} live pages are open` : ""}`);
  const lines = findings(FAULTS.map(([title], place) => [title, found[place]]).filter(([, { recent }]) => recent));
  if (source.state === "refused") return;
  if (wrongHere.length) {
    const told = wrongHere.map((one) => `${one.what}${one.detail ? `: ${one.detail}` : ""}, for ${ago(one.seconds)}`);
    lines.splice(0, Infinity, ["wrong", `Nothing is heard of any process. The one that answers says what is wrong: ${told.join("; ")}.`]);
  } else if (lostAt !== null) lines.unshift(["warn", `The connection was lost ${ago(passed() - lostAt)} ago: what is shown is as old.`]);
  if (lines.length) banner(lines);
  else if (all.length) banner([["good", all.length === 1 ? "The process is ready, and nothing went wrong within the last minute." : `All ${all.length} processes are ready, and nothing went wrong within the last minute.`]]);
  else banner([["waiting", "No process tells anything."]]);
}

setInterval(draw, 1000);

write(element("where"), location.host);
ask("overview/about").then(
  ({ settings }) => {
    const body = make("tbody");
    const ordered = [...settings].sort((one, other) => one.default - other.default);
    for (const { key, value, default: plain } of ordered)
      body.append(make("tr", { class: plain ? undefined : "set" }, make("td", { class: "code" }, key), make("td", { class: "code" }, value)));
    element("settings").append(body);
  },
  (error) => happened("wrong", error.message),
);
