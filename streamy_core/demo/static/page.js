import { connect } from "streamy";

const KEPT = 70_000;
const tally = new Tally();
const samples = [];
const bands = [];
const start = JSON.parse(byId("start").textContent);

/* The server's clock and this one may differ: the least delay ever seen is taken for none. */
let offset = Date.now() - start.now;
let outage = null;
let gone = new Set();

const lines = byId("lines") && new Lines(byId("lines"), byId("file-sub"));
const countdown = new Countdown(connect);
const run = new Run(connect);

const percent = (value) => `${Math.round(value)} %`;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);

function rate(bytes) {
  const units = ["B/s", "kB/s", "MB/s", "GB/s"];
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), 3);
  const value = bytes / 1000 ** power;
  return [value.toFixed(power && value < 100 && value % 1 ? 1 : 0), units[power]];
}

const charts = [
  new LineChart(byId("cpu-chart"), { lines: [(s) => s.load], thin: (s) => s.cpu, top: 100, format: percent }),
  new LineChart(byId("memory-chart"), { lines: [(s) => s.memory], top: 100, format: percent }),
  new LineChart(byId("net-chart"), { lines: [(s) => s.net_in, (s) => s.net_out], format: (v) => rate(Math.round(v / 1000) * 1000).join(" ") }),
];

function addSample(data, replayed) {
  const load = mean(data.cpu);
  const memory = (100 * data.memory_used) / data.memory_total;
  const waiting = samples.filter((sample) => sample.shownAt > Date.now()).length;
  const shownAt = replayed ? Date.now() + 90 * waiting + 1 : Date.now() - 350;
  samples.push({ ...data, t: data.at + offset, load, memory, replayed, shownAt });
  samples.sort((a, b) => a.t - b.t);
  while (samples.length > 1 && samples[0].t < Date.now() - KEPT) samples.shift();
}

function showFigures({ cpu, load, memory, memory_used, memory_total, net_in, net_out }) {
  byId("cpu").textContent = Math.round(load);
  byId("cpu-sub").textContent = cpu.length === 1 ? "1 core" : `${cpu.length} cores`;
  byId("memory").textContent = Math.round(memory);
  const gib = (bytes) => (bytes / 2 ** 30).toFixed(1);
  byId("memory-sub").textContent = `${gib(memory_used)} of ${gib(memory_total)} GiB`;
  byId("memory-bar").style.width = `${memory}%`;
  const [value, unit] = rate(net_in);
  byId("net-in").textContent = value;
  byId("net-in-unit").textContent = `${unit} in`;
  byId("net-out").textContent = rate(net_out).join(" ");
  const cores = byId("cores");
  while (cores.children.length < cpu.length) cores.append(make("i", ""));
  cpu.forEach((busy, i) => cores.children[i].style.setProperty("--busy", `${Math.max(busy, 3)}%`));
  byId("cpu-chart").ariaLabel = `CPU load over the last minute, now ${percent(load)}`;
  byId("memory-chart").ariaLabel = `Memory in use over the last minute, now ${percent(memory)}`;
  byId("net-chart").ariaLabel = `Network over the last minute, now ${rate(net_in).join(" ")} in`;
}

function showTally() {
  for (const name of ["received", "lost", "repeated", "reconnects"]) {
    byId(name).textContent = tally[name].toLocaleString();
  }
  byId("lost").parentElement.classList.toggle("bad", tally.lost > 0);
  byId("repeated").parentElement.classList.toggle("bad", tally.repeated > 0);
}

function showStatus(state, text) {
  byId("status").dataset.state = state;
  byId("status").lastElementChild.textContent = text;
}

function wentAway() {
  const now = Date.now();
  outage = { at: tally.last, tries: 0, missed: 0, lost: tally.lost, repeated: tally.repeated, openedAt: null };
  bands.push((outage.band = { from: now, to: null, label: "connection cut" }));
  if (bands.length > 20) bands.shift();
  gone = new Set();
  showStatus("away", "Reconnecting");
  byId("cut").ariaDisabled = "true"; // not `disabled`, which would take the focus away
  byId("cut").textContent = "Reconnecting";
  logged(`Connection cut at #${outage.at}`, "cut");
}

function cameBack() {
  tally.reconnects += 1;
  outage.tries += 1;
  outage.openedAt = Date.now();
  outage.band.to = outage.openedAt;
  outage.band.label = "while you were away";
  byId("cut").ariaDisabled = "false";
  byId("cut").textContent = "Cut it again";
}

/* Told only when the first event arrives that was published after the return. */
function tellTheOutage() {
  const { missed, tries, lost, repeated } = outage;
  outage = null;
  if (gone.size) {
    logged(`Back at #${tally.last}, after a gap`, "back");
    return;
  }
  logged(`${missed === 1 ? "1 event" : `${missed} events`} published meanwhile, back at try ${tries}`, "meanwhile");
  const nothing = (word, count) => (count ? `${count} ${word}` : `nothing ${word}`);
  const result = `${nothing("lost", tally.lost - lost)}, ${nothing("repeated", tally.repeated - repeated)}`;
  logged(`Back at #${tally.last}: ${result}`, "back");
}

function showState(now, why) {
  if (now === "live") {
    showStatus("open", "Connected");
    if (outage) cameBack();
    else logged(tally.last ? `Connected, going on after #${tally.last}` : "Connected", "back");
    showTally();
  } else if (now === "waiting") {
    if (outage && outage.openedAt === null) outage.tries += 1;
    else wentAway();
  } else if (now !== "connecting") {
    showStatus("closed", now === "refused" ? "Refused" : "Ended");
    byId("cut").ariaDisabled = "true";
    byId("cut").textContent = "No connection";
    logged(`The server says ${why.status ?? "it is over"}: nothing more will come`, "bad");
  }
}

function showSystem(sample) {
  offset = Math.min(offset, Date.now() - sample.at);
  const replayed = Boolean(outage) && sample.at + offset < outage.openedAt;
  if (tally.note(sample)) {
    addSample(sample, replayed);
    showFigures(samples.at(-1));
  }
  if (replayed) outage.missed += 1;
  else if (outage) tellTheOutage();
  showTally();
}

function tellGap({ stream }) {
  if (stream === "system") tally.forget();
  if (gone.has(stream)) return;
  gone.add(stream);
  showGap(gone);
  logged(`Gap in the stream “${stream}”`, "bad");
}

byId("gap-close").addEventListener("click", () => (byId("gap").hidden = true));
byId("chat-form").addEventListener("submit", sendMessage);
byId("cut").addEventListener("click", async () => {
  if (byId("cut").ariaDisabled === "true") return;
  byId("cut").ariaDisabled = "true";
  byId("cut-note").textContent = "";
  const response = await fetch(document.body.dataset.cut, { method: "POST" }).catch(() => null);
  if (response?.ok) return;
  byId("cut").ariaDisabled = "false";
  byId("cut-note").textContent = "There is no connection to cut at the moment.";
});

function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["accent", "fill", "fill-end", "grid", "band", "hatch", "muted", "text", "card"];
  const found = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...found, fillEnd: found["fill-end"], font: `11px ${getComputedStyle(document.body).fontFamily}` };
}

let palette = colours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (palette = colours()));
const still = matchMedia("(prefers-reduced-motion: reduce)");

function frame() {
  for (const chart of charts) chart.draw(Date.now(), samples, bands, palette);
  if (still.matches) setTimeout(() => requestAnimationFrame(frame), 1000);
  else requestAnimationFrame(frame);
}

for (const data of start.events.system) {
  const sample = JSON.parse(data);
  tally.begin(sample);
  addSample(sample, false);
}
if (samples.length) showFigures(samples.at(-1));
for (const data of start.events.chat) showMessage(JSON.parse(data));
for (const line of start.events.file ?? []) lines.add(line);
for (const data of start.events.runs) run.follow(JSON.parse(data).url);
requestAnimationFrame(frame);

const stream = connect(document.body.dataset.events, {
  on: {
    system: showSystem,
    chat: showMessage,
    line: (_, { raw }) => lines?.add(raw),
    run: ({ url }) => run.follow(url),
  },
  gap: tellGap,
  state: showState,
});

/** For the console, and for tests. */
window.streamy = { stream, tally, samples, bands, charts, countdown, run };
