// A consumer's file, which has to pass the type check; what is marked may not.
import { connect, type End, type Gap, type State, type Stream, type StreamEvent, type Why } from "streamy-sse";

const stream: Stream = connect("/events?room=7", {
  cursor: "k3Jx0.4.Zz1",
  load: async () => "k3Jx0.4.Zz1",
  on: {
    message(data, event) {
      const id: string = event.id;
      console.log(data.text, id, event.type, event.raw);
    },
    created: (data: { id: number }, event: StreamEvent) => console.log(data.id, event.id),
  },
  gap: ({ stream, from, to }: Gap) => console.log(stream, from, to),
  end: (detail: End) => console.log(detail.stream),
  state: (now: State, why?: Why) => console.log(now === "refused", why?.status, why?.delay, why?.reason === "silent"),
  share: false,
  headers: { Authorization: "Bearer x" },
  withCredentials: true,
  json: false,
  renew: async (status) => status === 401 && "/events?grant=new",
});
connect(new URL("https://example.org/events"));
const state: State = stream.state;
stream.close();

// @ts-expect-error: the state is read only
stream.state = state;
// @ts-expect-error: there is no such option
connect("/events", { retries: 3 });
// @ts-expect-error: load returns a cursor
connect("/events", { load: () => 1 });
