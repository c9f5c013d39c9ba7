// Reads an event stream and prints what it gets, one line of JSON each: node read.mjs URL NAME...
import { EventSource } from "eventsource";

const [url, ...names] = process.argv.slice(2);
const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const source = new EventSource(url);

source.addEventListener("open", () => print({ state: "open" }));
source.addEventListener("error", (error) => {
  print({ state: source.readyState === EventSource.CLOSED ? `closed ${error.code}` : "reconnecting" });
});
for (const name of new Set(["message", ...names])) {
  source.addEventListener(name, (event) => {
    print({ name: event.type, data: event.data, id: event.lastEventId });
  });
}
