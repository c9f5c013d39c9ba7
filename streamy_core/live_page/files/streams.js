/** Looks at one stream: its newest entries, what comes, a test event; and disconnects a key. */

import { connect } from "../streamy.js";
import { bytes, count, make, mark, write } from "./draw.js";
import { ago } from "./processes.js";

const SHOWN = 100; // entries
const element = (id) => document.getElementById(id);

/** Ask the server; give back its answer, or throw what it says is wrong. */
export async function ask(path, given) {
  const options = given && {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Streamy-Page": "1" },
    body: JSON.stringify(given),
  };
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The server says ${response.status}.`);
  return answer;
}

/** Ask who looks; whether they say yes. */
export function sure(question, yes) {
  const dialog = element("confirm");
  write(element("question"), question);
  write(element("yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const younger = (age) => (age === null || age === undefined ? "older, or unknown" : `< ${ago(age)} ago`);

/** The panel of one stream. Returns { open(name), close() }. */
export function streamPanel(happened) {
  const panel = element("stream");
  let source = null;
  let opened = 0;

  function close() {
    source?.close();
    source = null;
    panel.hidden = true;
    panel.replaceChildren();
  }

  function rowOf(entry, age, withData, fresh) {
    const cells = [
      make("td", { class: "text code" }, entry.id ? make("span", { class: "name", title: entry.id }, entry.id) : ""),
      make("td", { class: "text" }, make("span", { class: "name" }, entry.name ?? "message")),
      make("td", {}, bytes(entry.bytes)),
      make("td", { class: "text" }, age),
    ];
    if (withData) cells.push(make("td", { class: "data" }, entry.data ?? ""));
    return make("tr", { class: fresh ? "fresh" : undefined }, ...cells);
  }

  function draw(found) {
    const withData = found.entries.some((entry) => entry.data !== undefined);
    const body = make("tbody");
    const about = make("p");
    const come = { since: 0 };
    const tell = () => {
      const parts = [
        found.published === null || !found.exists ? "" : `${count(found.published + come.since)} published in all`,
        found.exists ? "" : "nothing was ever published to it",
        found.ended ? "ended" : "",
        come.since ? `${count(come.since)} since you look` : "",
        withData || !found.entries.length ? "" : "data hidden (STREAMY_OVERVIEW_DATA)",
      ];
      write(about, parts.filter(Boolean).join(" · "));
    };
    const follow = make("button", { type: "button", "aria-pressed": "false" }, "Follow");
    const test = make("button", { type: "button" }, "Send a test event …");
    const shut = make("button", { type: "button" }, "Close");
    const said = make("p", { role: "status" });
    follow.addEventListener("click", () => {
      if (source) {
        source.close();
        source = null;
      } else {
        const query = new URLSearchParams({ id: found.id, after: come.cursor ?? found.cursor });
        source = connect(`overview/follow?${query}`, {
          share: false,
          on: {
            message(entry, { id }) {
              come.since += 1;
              come.cursor = id;
              body.prepend(rowOf({ ...entry, id }, new Date().toLocaleTimeString(), withData || entry.data !== undefined, true));
              while (body.children.length > SHOWN) body.lastChild.remove();
              tell();
            },
          },
          gap: () => write(said, "Some entries are gone before they could be shown."),
          end: () => write(said, "The stream has ended."),
          state: (now) => write(follow, now === "live" || now === "connecting" ? "Stop following" : now === "waiting" ? "Reconnecting …" : "Follow"),
        });
      }
      mark(follow, "aria-pressed", String(Boolean(source)));
      if (!source) write(follow, "Follow");
    });
    test.addEventListener("click", async () => {
      const question = `Send a test event to all who read “${found.id}”? It is named “test”, and is of use for five seconds.`;
      if (!(await sure(question, "Send it"))) return;
      try {
        const { id } = await ask("overview/test", { id: found.id });
        write(said, `Sent as ${id}.`);
        happened("good", `A test event was sent to ${found.id}`);
      } catch (error) {
        write(said, error.message);
      }
    });
    shut.addEventListener("click", close);
    if (found.ended || !found.exists) test.disabled = true;
    for (const entry of found.entries) body.append(rowOf(entry, younger(entry.age), withData, false));
    const heads = ["Id", "Name", "Size", "When", ...(withData ? ["Data"] : [])];
    const head = make("tr", {}, ...heads.map((title) => make("th", { scope: "col", class: title === "Size" ? undefined : "text" }, title)));
    tell();
    panel.replaceChildren(
      make("h3", {}, found.id),
      about,
      make("div", { class: "row" }, follow, test, shut),
      said,
      make("div", { class: "entries", tabindex: "0", role: "region", "aria-label": "Newest entries" }, make("table", {}, make("thead", {}, head), body)),
    );
    panel.hidden = false;
  }

  /** Look at the stream of this name; search for it if nothing was ever published to one, unless it is known. */
  async function open(name, known = false) {
    const mine = (opened += 1);
    close();
    const said = element("found");
    write(said, "Looking …");
    try {
      const found = await ask(`overview/stream?${new URLSearchParams({ id: name })}`);
      if (mine !== opened) return;
      if (found.exists || known) {
        said.replaceChildren();
        draw(found);
      } else await offer(name, said, mine);
    } catch (error) {
      if (mine === opened) write(said, error.message);
    }
  }

  function linkTo(name, shown) {
    const button = make("button", { type: "button", class: "link" }, shown);
    button.addEventListener("click", () => open(name, true));
    return button;
  }

  async function offer(part, said, mine) {
    const found = await ask(`overview/find?${new URLSearchParams({ q: part })}`);
    if (mine !== opened) return;
    const anyway = make("p", { class: "quiet" }, linkTo(part, "Look at exactly this name"), ", in case somebody reads it");
    if (!found.lists) return said.replaceChildren("Nothing was ever published to a stream of this name. ", anyway);
    if (found.busy) return said.replaceChildren("Somebody is searching already: try again.");
    if (!found.streams.length) return said.replaceChildren(found.all ? "No stream's name has that in it. " : "None was found in time. ", anyway);
    const hits = found.streams.map(({ id, entries, ended }) => {
      return make("li", {}, linkTo(id, id), make("span", { class: "quiet" }, ` ${count(entries)} entries${ended ? ", ended" : ""}`));
    });
    said.replaceChildren(make("ul", {}, ...hits), ...(found.all ? [] : [make("p", { class: "quiet" }, "There may be more.")]));
  }

  element("find").addEventListener("submit", (event) => {
    event.preventDefault();
    open(element("name").value);
  });
  return {
    open(name) {
      element("name").value = name;
      open(name, true);
      element("find").scrollIntoView({ block: "nearest" });
    },
  };
}

/** The form that disconnects the clients of a key. */
export function disconnectForm(happened) {
  const said = element("disconnected");
  element("disconnect").addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = element("key").value;
    if (!(await sure(`Disconnect all clients of the key “${key}”, in all processes?`, "Disconnect"))) return;
    try {
      await ask("overview/disconnect", { key });
      write(said, `Clients of “${key}” were told to leave.`);
      happened("warn", `The key ${key} was disconnected`);
    } catch (error) {
      write(said, error.message);
    }
  });
}
