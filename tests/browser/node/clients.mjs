// Others' clients in Node: `node clients.mjs '[["eventsource-4", "http://…"], …]'`. Writes a line for each event:
// the client and the data, as JSON.
import { createEventSource } from "eventsource-client";
import EventSource2 from "eventsource-2";
import { EventSource as EventSource4 } from "eventsource-4";
import { EventSource as EventSource5 } from "eventsource-5";
import { EventSource as LaunchDarkly } from "launchdarkly-eventsource";

const standard = (Client) => (url, hear) => {
  const source = new Client(url);
  source.onmessage = ({ data }) => hear(data);
  source.onerror = () => {};
};

const clients = {
  "eventsource-2": standard(EventSource2),
  "eventsource-4": standard(EventSource4),
  "eventsource-5": standard(EventSource5),
  "launchdarkly-node": standard(LaunchDarkly),
  "eventsource-client"(url, hear) {
    createEventSource({ url, onMessage: ({ event, data }) => event || hear(data) });
  },
  "eventsource-client-cured"(url, hear) {
    const source = createEventSource({
      url,
      onMessage: ({ event, data }) => (event === "streamy.end" ? source.close() : event || hear(data)),
      async fetch(...request) {
        const response = await fetch(...request);
        if ([401, 403].includes(response.status)) source.close();
        return response;
      },
    });
  },
};

for (const [name, url] of JSON.parse(process.argv[2])) {
  clients[name](url, (data) => console.log(JSON.stringify([name, data])));
}
