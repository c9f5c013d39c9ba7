// A transport for the AI SDK: useChat({ transport: new StreamyTransport("/chats"), resume: true }).
import { connect } from "streamy"; // with a bundler: "streamy-sse"

export class StreamyTransport {
  resumeStreamIsReplay = true; // whoever resumes gets the message from its beginning

  constructor(api) {
    this.api = api;
  }

  async sendMessages({ chatId, messages, abortSignal }) {
    const answer = await fetch(this.api, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id: chatId, messages }),
    });
    return this.read(answer, abortSignal);
  }

  async reconnectToStream({ chatId, abortSignal }) {
    const answer = await fetch(`${this.api}/${encodeURIComponent(chatId)}/newest`);
    return answer.status === 204 ? null : this.read(answer, abortSignal);
  }

  /** For a button: the answer ends. useChat's own `stop` only reads no further. */
  stop() {
    return fetch(this.url, { method: "DELETE" });
  }

  async read(answer, abortSignal) {
    if (!answer.ok) throw new Error(await answer.text());
    const url = (this.url = new URL((await answer.json()).stream, answer.url));
    let stream;
    return new ReadableStream({
      start(parts) {
        stream = connect(url, {
          share: false,
          on: { message: (several) => several.forEach((part) => parts.enqueue(part)) },
          end({ outcome, error }) {
            if (outcome === "stopped") parts.enqueue({ type: "abort" });
            else if (outcome !== "done") {
              parts.enqueue({ type: "error", errorText: error ?? `The answer is ${outcome}.` });
            }
            parts.close();
          },
          gap: () => parts.error(new Error("Some of it is lost.")),
          state: (now) => now === "refused" && parts.error(new Error("It is refused.")),
        });
        abortSignal?.addEventListener("abort", () => {
          stream.close();
          parts.close();
        });
      },
      cancel: () => stream.close(),
    });
  }
}
