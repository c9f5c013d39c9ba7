"use strict";

const MOST_MESSAGES = 200;
const MOST_LINES = 500;
const MOST_LOGGED = 60;
const COLOUR_CODES = /\x1b\[[0-9;?]*[A-Za-z]/g;

const byId = (id) => document.getElementById(id);

function make(tag, text, className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}

const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

/** Appends to a list that shows its end, unless the reader has scrolled up, and holds `most` at most. */
function appendTo(list, nodes, most) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(...nodes.slice(-most));
  while (list.children.length > most) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function logged(text, kind = "") {
  const item = make("li", "", kind);
  item.append(make("time", clock(Date.now())), make("span", text));
  appendTo(byId("log"), [item], MOST_LOGGED);
}

function showMessage({ name, text, at }) {
  const own = name === document.body.dataset.name;
  const item = make("li", "", own ? "own" : "");
  const line = make("p", text);
  item.append(make("span", own ? "You" : name, "who"), line, make("time", clock(at)));
  appendTo(byId("messages"), [item], MOST_MESSAGES);
}

async function sendMessage(event) {
  event.preventDefault();
  const input = byId("chat-text");
  const text = input.value.trim();
  if (!text) return;
  byId("chat-note").textContent = "";
  try {
    const response = await fetch("/chat", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: document.body.dataset.name, text }),
    });
    if (!response.ok) throw new Error((await response.json()).error);
    if (input.value.trim() === text) input.value = "";
  } catch (error) {
    byId("chat-note").textContent = `Not sent: ${error.message}`;
  }
}

/** Collects lines and shows them once a frame, however many come. */
class Lines {
  constructor(list, caption) {
    Object.assign(this, { list, caption, waiting: [], seen: 0 });
  }

  add(text) {
    this.waiting.push(text);
    if (this.waiting.length > MOST_LINES) this.waiting.shift();
    this.seen += 1;
    if (this.waiting.length === 1) requestAnimationFrame(() => this.flush());
  }

  flush() {
    const lines = this.waiting.splice(0);
    appendTo(this.list, lines.map((line) => make("li", line.replace(COLOUR_CODES, "") || "\u200b")), MOST_LINES);
    this.caption.textContent = `${this.seen.toLocaleString()} ${this.seen === 1 ? "line" : "lines"}`;
  }
}

function showGap(streams) {
  const notice = byId("gap");
  notice.querySelector("p").textContent =
    `What this page had not seen yet is gone on the server (${[...streams].join(", ")}). ` +
    "It was told so and goes on with the oldest event that is left.";
  notice.hidden = false;
}

/** The countdown: a stream of its own, until it has ended for good. */
class Countdown {
  constructor(connect) {
    this.connect = connect;
    this.button = byId("countdown");
    this.count = byId("count");
    this.button.addEventListener("click", () => this.start());
  }

  async start() {
    this.button.disabled = true;
    for (const step of byId("steps").children) step.removeAttribute("data-done");
    this.show("…", "waiting");
    try {
      const response = await fetch("/countdown", { method: "POST" });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      this.listen(answer.url);
    } catch (error) {
      this.show("–", "idle");
      logged(`No countdown: ${error.message}`, "bad");
      this.button.disabled = false;
    }
  }

  listen(url) {
    this.stream?.close();
    this.stream = this.connect(url, {
      on: { step: (_, { raw }) => this.show(raw, raw.length > 1 ? "liftoff" : "running") },
      end: () => this.done("end"),
      state: (now) => {
        if (now === "live") this.done("open");
        else if (now === "ended" || now === "refused") this.close(now);
      },
    });
  }

  close(now) {
    if (now === "ended") this.done("closed");
    this.show(now, "ended");
    this.button.textContent = "Start another";
    this.button.disabled = false;
  }

  show(text, state) {
    this.count.textContent = text;
    this.count.dataset.state = state;
  }

  done(step) {
    byId("steps").querySelector(`[data-step="${step}"]`).dataset.done = "";
  }
}
