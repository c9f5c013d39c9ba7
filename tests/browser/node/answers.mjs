// The guide's transports, and those of the AI SDK and AG-UI themselves, on its servers:
// `node answers.mjs chat|agent URL FOLDER`, where FOLDER has the guide's modules. Writes what each has got, as JSON.
import { HttpAgent } from "@ag-ui/client";
import { AbstractChat, DefaultChatTransport } from "ai";

const [kind, address, folder] = process.argv.slice(2);
const FAILING = "please fail";
const LONG = "long ".repeat(500);

class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, message));
  snapshot = (thing) => structuredClone(thing);
}

class Chat extends AbstractChat {
  constructor(options) {
    super({ ...options, state: new State() });
  }

  get result() {
    const last = this.lastMessage?.role === "assistant" ? this.lastMessage.parts : [];
    const text = last.filter(({ type }) => type === "text").map((part) => part.text);
    return [text.join(""), this.error?.message ?? this.status];
  }
}

async function until(condition) {
  while (!condition()) await new Promise((done) => setTimeout(done, 5));
}

async function chatBy(make) {
  const ask = async (text) => {
    const chat = new Chat({ transport: make() });
    await chat.sendMessage({ text });
    return chat.result;
  };

  const first = new Chat({ id: `c${Math.random()}`, transport: make() });
  const asked = first.sendMessage({ text: "does it go on" + " and on".repeat(40) });
  await until(() => first.result[0]);
  const reloaded = new Chat({ id: first.id, transport: make() });
  await reloaded.resumeStream();
  await asked;
  const later = new Chat({ id: first.id, transport: make() });
  await later.resumeStream();

  return {
    answered: await ask("why?"),
    failed: await ask(FAILING),
    reloaded: [first.result, reloaded.result],
    later: later.result,
  };
}

async function stopped(transport) {
  const chat = new Chat({ transport });
  const asked = chat.sendMessage({ text: LONG });
  await until(() => chat.result[0]);
  await transport.stop();
  await asked;
  const [text, state] = chat.result;
  return [text.length > 0 && text.length < LONG.length, state];
}

async function agentBy(make, stop) {
  const ask = async (content, agent = make()) => {
    let outcome, error;
    agent.messages = [{ id: "1", role: "user", content }];
    const subscriber = {
      onRunFinishedEvent: ({ event }) => (outcome = event.outcome?.type ?? "success"),
      onRunErrorEvent: ({ event }) => (error = event.message),
    };
    const { newMessages } = await agent.runAgent({}, subscriber).catch(() => ({ newMessages: [] }));
    return [newMessages.map((message) => message.content).join(""), outcome ?? error];
  };

  const long = make();
  const asked = stop && ask(LONG, long);
  if (stop) await until(() => long.messages.length > 1 && long.messages[1].content);
  if (stop) await stop(long);
  return { answered: await ask("why?"), ...(stop && { stopped: (await asked)[1] }) };
}

if (kind === "chat") {
  const { StreamyTransport } = await import(`${folder}/transport.js`);
  const streamy = () => new StreamyTransport(`${address}/chats`);
  const plain = () => new DefaultChatTransport({ api: `${address}/api/chat` });
  const [byStreamy, byItself] = await Promise.all([chatBy(streamy), chatBy(plain)]);
  console.log(JSON.stringify({ streamy: { ...byStreamy, stopped: await stopped(streamy()) }, plain: byItself }));
} else {
  const { StreamyAgent } = await import(`${folder}/agent.js`);
  const streamy = await agentBy(() => new StreamyAgent(`${address}/runs`), (agent) => agent.abortRun());
  const plain = await agentBy(() => new HttpAgent({ url: `${address}/agent` }));
  console.log(JSON.stringify({ streamy, plain }));
}
process.exit(0);
