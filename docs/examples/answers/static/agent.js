// An agent for AG-UI's clients: new StreamyAgent("/runs").
import { AbstractAgent } from "@ag-ui/client";
import { Observable } from "rxjs";
import { connect } from "streamy"; // with a bundler: "streamy-sse"

export class StreamyAgent extends AbstractAgent {
  constructor(api) {
    super();
    this.api = api;
  }

  run(input) {
    return new Observable((events) => {
      const seen = new Set();
      let stream, left;
      const tell = (event) => {
        seen.add(event.type);
        events.next(event);
      };
      const { threadId, runId } = input;
      const finish = ({ outcome, error }) => {
        if (outcome === "done" || seen.has("RUN_FINISHED")) return events.complete();
        if (outcome === "stopped") {
          if (!seen.has("RUN_STARTED")) {
            tell({ type: "RUN_STARTED", threadId, runId, protocolVersion: "1.0" });
          }
          if (seen.has("TEXT_MESSAGE_START") && !seen.has("TEXT_MESSAGE_END")) {
            tell({ type: "TEXT_MESSAGE_END", messageId: runId });
          }
          tell({ type: "RUN_FINISHED", threadId, runId, outcome: { type: "cancelled" } });
        } else {
          tell({ type: "RUN_ERROR", message: error ?? `The answer is ${outcome}.` });
        }
        events.complete();
      };
      this.start(input).then((url) => {
        this.url = url;
        if (left) return;
        stream = connect(url, {
          share: false,
          on: { message: (several) => several.forEach(tell) },
          end: finish,
          gap: () => events.error(new Error("Some of it is lost.")),
          state: (now) => now === "refused" && events.error(new Error("It is refused.")),
        });
      }, (error) => events.error(error));
      return () => {
        left = true;
        stream?.close();
      };
    });
  }

  async start(input) {
    const answer = await fetch(this.api, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(input),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return new URL((await answer.json()).stream, answer.url);
  }

  abortRun() {
    if (this.url) fetch(this.url, { method: "DELETE" });
  }
}
