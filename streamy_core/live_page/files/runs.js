/** The panel of runs: those that processes hold, and a button that stops one. */

import { count, table, write } from "./draw.js";
import { ago } from "./processes.js";
import { ask, sure } from "./streams.js";

const element = (id) => document.getElementById(id);

/** Returns what draws { runs, running }. `open(name)` shows a stream. */
export function runsPanel(happened, open) {
  async function stop({ stream, stopping }) {
    if (stopping) return;
    if (!(await sure(`Stop the run “${stream}”? What it has published stays, and it ends as stopped.`, "Stop it"))) return;
    try {
      await ask("overview/stop", { id: stream });
      write(element("runs-said"), `“${stream}” was told to stop.`);
      happened("warn", `The run ${stream} was told to stop`);
    } catch (error) {
      write(element("runs-said"), error.message);
    }
  }

  const draw = table(
    element("runs"),
    [
      { title: "Stream", text: true, value: ({ stream }) => stream, open: ({ stream }) => open(stream) },
      { title: "Process", text: true, wide: true, value: ({ process }) => process },
      { title: "Since", about: "for how long it has gone on", value: ({ seconds }) => seconds, show: ago },
      { title: "Entries", about: "that it has written", value: ({ entries }) => entries, show: count, wide: true },
      {
        title: "Stop",
        value: ({ stopping }) => Number(stopping),
        show: (_, { stopping }) => (stopping ? "stopping" : "Stop …"),
        label: ({ stream, stopping }) => (stopping ? `${stream} is stopping` : `Stop ${stream}`),
        open: stop,
      },
    ],
    { sortedBy: 2 },
  );
  return ({ runs, running }) => {
    element("runs-panel").hidden = !running;
    write(element("runs-count"), running > runs.length ? `${count(running)}, of which these have gone on for longest` : count(running));
    draw(runs, ({ id }) => id);
  };
}
