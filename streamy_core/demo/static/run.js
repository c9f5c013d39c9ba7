"use strict";

const ENDS = {
  done: "Done",
  stopped: "Stopped",
  failed: "Failed",
  lost: "Lost: its server has gone",
};

/** The newest run: a stream that is written whether anybody reads it or not, and read by every tab. */
class Run {
  constructor(connect) {
    this.connect = connect;
    this.text = byId("run-text");
    byId("run-start").addEventListener("click", () => this.start());
    byId("run-stop").addEventListener("click", () => fetch(this.url, { method: "DELETE" }));
  }

  async start() {
    byId("run-start").disabled = true;
    try {
      const response = await fetch("/run", { method: "POST" });
      if (!response.ok) throw new Error((await response.json()).error);
    } catch (error) {
      this.show("idle", `Not started: ${error.message}`);
    }
  }

  /** Read a run from its beginning: one that this tab has started, or any other. */
  follow(url) {
    this.stream?.close();
    this.url = url;
    this.text.textContent = "";
    this.show("running", "Running: close this tab, or open another");
    this.stream = this.connect(url, {
      on: { word: (_, { raw }) => this.add(raw) },
      end: ({ outcome }) => this.show("ended", ENDS[outcome]),
      state: (now) => now === "refused" && this.show("idle", "The server has forgotten it"),
    });
  }

  add(text) {
    const atEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 40;
    this.text.append(text);
    if (atEnd) this.text.scrollTop = this.text.scrollHeight;
  }

  show(state, note) {
    this.text.dataset.state = state;
    byId("run-note").textContent = note;
    byId("run-start").disabled = state === "running";
    byId("run-stop").disabled = state !== "running";
  }
}
