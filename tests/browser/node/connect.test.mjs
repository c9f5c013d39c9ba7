// What needs no browser: one connection, against a real server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "../../../streamy_core/browser/streamy.js";
import { event, opening, place, serve, stream } from "./server.mjs";

/** Connects; `seen` is what was told, in order. Waits by `until`. more: options that the server's URL is in. */
async function client(context, handler, options = {}, more = () => ({})) {
  const server = await serve(handler);
  const seen = [];
  const waiting = new Set();
  const note = (...what) => {
    seen.push(what);
    for (const look of waiting) look();
  };
  const connection = connect(server.url, {
    on: { message: (data, { id }) => note("event", data, id) },
    gap: (detail) => note("gap", detail),
    end: (detail) => note("end", detail),
    state: (now, why) => note("state", now, why),
    ...options,
    ...more(server.url),
  });
  context.after(() => {
    connection.close();
    server.close();
  });
  const until = (condition) =>
    new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`not in time, but ${JSON.stringify(seen)}`)), 20_000);
      const look = () => condition() && (clearTimeout(timer), waiting.delete(look), done());
      waiting.add(look);
      look();
    });
  const events = () => seen.filter(([kind]) => kind === "event").map(([, data]) => data);
  const states = () => seen.filter(([kind]) => kind === "state").map(([, now]) => now);
  return { server, seen, until, events, states, note, connection };
}

test("it comes back after a clean close, a broken connection and 502, and says where it was", async (context) => {
  const { server, until, events, states } = await client(context, (_, response, number) => {
    if (number === 1) stream(response, event(1)).end();
    else if (number === 2) stream(response, event(2));
    else if (number === 3) response.writeHead(502).end("Bad gateway");
    else stream(response, event(3));
    if (number === 2) setTimeout(() => response.destroy(), 50);
  });
  await until(() => events().length === 3);
  assert.deepEqual(events(), [1, 2, 3]);
  assert.deepEqual(server.requests.map(place), [null, "1", "2", "2"]);
  assert.deepEqual(states().slice(0, 5), ["connecting", "live", "waiting", "connecting", "live"]);
});

test("one that is cut before its first event comes back to its first place", async (context) => {
  const { server, until, events } = await client(context, (_, response, number) => {
    if (number === 1) stream(response).end();
    else stream(response, event(1));
  });
  await until(() => events().length === 1);
  assert.deepEqual(server.requests.map(place), [null, "0"]);
});

test("an id without data advances the place", async (context) => {
  const { server, until, events } = await client(context, (_, response, number) => {
    if (number === 1) stream(response, "id: 5\n\n").end();
    else stream(response, event(6));
  });
  await until(() => events().length === 1);
  assert.equal(place(server.requests[1]), "5");
});

test("a connection that brings no id keeps the place", async (context) => {
  const { server, until, events } = await client(context, (_, response, number) => {
    if (number === 1) stream(response, event(5)).end();
    else if (number === 2) response.writeHead(200, { "Content-Type": "text/event-stream" }).end("retry: 10\n\n");
    else stream(response, event(6));
  });
  await until(() => events().length === 2);
  assert.equal(place(server.requests[2]), "5");
});

test("half an event is not handed over", async (context) => {
  const { until, events } = await client(context, (_, response, number) => {
    if (number === 1) stream(response, "id: 1\ndata: half\n").end();
    else stream(response, event(1, "whole"));
  });
  await until(() => events().length === 1);
  assert.deepEqual(events(), ["whole"]);
});

test("a page of HTML with 200 is no stream, and it tries again", async (context) => {
  const { until, events, seen } = await client(context, (_, response, number) => {
    if (number === 1) response.writeHead(200, { "Content-Type": "text/html" }).end("<p>Log in");
    else stream(response, event(1));
  }, { });
  await until(() => events().length === 1);
  assert.equal(seen.find(([, now]) => now === "waiting")[2].reason, "type");
});

for (const status of [429, 503]) {
  test(`${status} waits as Retry-After says`, async (context) => {
    const { until, events, seen } = await client(context, (_, response, number) => {
      if (number === 1) stream(response).end();
      else if (number === 2) response.writeHead(status, { "Retry-After": "1" }).end();
      else stream(response, event(1));
    });
    const began = Date.now();
    await until(() => events().length === 1);
    assert.ok(Date.now() - began >= 950);
    assert.equal(seen.find(([, , why]) => why?.status)[2].status, status);
  });
}

test("Retry-After may be a date", async (context) => {
  const { until, seen } = await client(context, (_, response) => {
    response.writeHead(503, { "Retry-After": new Date(Date.now() + 60_000).toUTCString() }).end();
  });
  await until(() => seen.at(-1)[1] === "waiting");
  assert.ok(seen.at(-1)[2].delay > 55_000 && seen.at(-1)[2].delay < 65_000);
});

for (const status of [401, 403, 404, 410]) {
  test(`${status} is refused, and asked for no more`, async (context) => {
    const { server, until, states, seen, connection } = await client(context, (_, response) => response.writeHead(status).end());
    await until(() => states().includes("refused"));
    await new Promise((done) => setTimeout(done, 200));
    assert.deepEqual(seen.at(-1), ["state", "refused", { reason: "status", status }]);
    assert.equal(server.requests.length, 1);
    assert.equal(connection.state, "refused");
  });
}

test("a renewed right goes on at the same place", async (context) => {
  const asked = [];
  const { server, until, events } = await client(
    context,
    (request, response, number) => {
      if (number === 1) stream(response, event(1)).end();
      else if (request.url.includes("fresh")) stream(response, event(2));
      else response.writeHead(401).end();
    },
    { renew: (status) => asked.push(status) && `${server_url()}?fresh=1` },
  );
  function server_url() {
    return server.url;
  }
  await until(() => events().length === 2);
  assert.deepEqual(asked, [401]);
  assert.equal(place(server.requests.at(-1)), "1");
});

test("a second refusal after a renewal is one", async (context) => {
  const { server, until, states } = await client(context, (_, response) => response.writeHead(401).end(), { renew: () => true });
  await until(() => states().includes("refused"));
  assert.equal(server.requests.length, 2);
});

/** An opening that says in how many seconds the right to read ends. */
const endsIn = (seconds) => opening.replace("30}", `30, "until": ${seconds}}`);

test("a right that is about to end is renewed while the connection lasts", async (context) => {
  const asked = [];
  const { server, until, events, seen } = await client(
    context,
    (request, response, number) => {
      if (number > 1) return stream(response, event(number));
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write(endsIn(0.4) + event(1));
      setTimeout(() => response.end(), 350);
    },
    { renew: (...given) => asked.push(given) && `${server.url}?fresh=1` },
  );
  await until(() => events().length === 2);
  assert.deepEqual(asked, [[undefined]]);
  assert.match(server.requests[1].url, /fresh=1/);
  assert.equal(place(server.requests[1]), "1");
  assert.ok(!seen.some(([kind, now]) => kind === "state" && now === "refused"));
});

for (const [what, answer, requests] of [
  ["the text of its answer is the new address", (response, url) => response.end(`${url}?fresh=1`), ["/renew", "/events?fresh=1"]],
  ["an empty answer leaves the address as it is", (response) => response.writeHead(204).end(), ["/renew", "/events"]],
])
  test(`a URL may renew a right: ${what}`, async (context) => {
    const { server, until, events } = await client(
      context,
      (request, response, number) => {
        if (request.url === "/renew") answer(response, server.url);
        else if (number === 1) response.writeHead(401).end();
        else stream(response, event(1));
      },
      {},
      (url) => ({ renew: new URL("/renew", url) }),
    );
    await until(() => events().length === 1);
    assert.deepEqual(server.requests.slice(1).map(({ url }) => url), requests);
  });

test("a URL that can't renew now is asked again later, and one that doesn't is a refusal", async (context) => {
  let renewals = 0;
  const { until, states } = await client(
    context,
    (request, response, number) => {
      if (number === 1) stream(response).end();
      else if (request.url !== "/renew") response.writeHead(401).end();
      else response.writeHead(++renewals < 3 ? 503 : 403).end();
    },
    {},
    (url) => ({ renew: new URL("/renew", url) }),
  );
  await until(() => states().includes("refused"));
  assert.equal(renewals, 3);
  assert.ok(states().includes("waiting"));
});

test("204 is the end", async (context) => {
  const { until, states, seen } = await client(context, (_, response, number) => {
    if (number === 1) stream(response, event(1)).end();
    else response.writeHead(204).end();
  });
  await until(() => states().includes("ended"));
  assert.deepEqual(seen.at(-1), ["state", "ended", { reason: "status", status: 204 }]);
});

test("streamy.end is the end of one stream's connection, without another request", async (context) => {
  const { server, until, states, seen } = await client(context, (_, response) => {
    stream(response, event(1), event("2", '{"stream": "news"}', "streamy.end")).end();
  });
  await until(() => states().includes("ended"));
  assert.deepEqual(seen.filter(([kind]) => kind === "end"), [["end", { stream: "news" }]]);
  assert.equal(server.requests.length, 1);
});

test("the end of one of several streams is not the end of the others", async (context) => {
  const { until, events, states } = await client(context, (_, response) => {
    stream(response, event("_a", '{"stream": "news"}', "streamy.end"), event("_b", 1));
  });
  await until(() => events().length === 1);
  assert.ok(!states().includes("ended"));
});

test("a connection that is silent for longer than the keep-alive is given up", async (context) => {
  const { until, events, seen } = await client(context, (_, response, number) => {
    if (number === 1) {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(opening.replace("30", "0.2"));
    } else stream(response, event(1));
  });
  await until(() => events().length === 1);
  assert.equal(seen.find(([, now]) => now === "waiting")[2].reason, "silent");
});

test("a gap is told, and without load the events go on", async (context) => {
  const { until, events, seen } = await client(context, (_, response) => {
    stream(response, event("5", '{"stream": "news", "from": "1", "to": "5"}', "streamy.gap"), event(6));
  });
  await until(() => events().length === 1);
  assert.deepEqual(seen.find(([kind]) => kind === "gap")[1], { stream: "news", from: "1", to: "5" });
});

test("load is called first, and again after a gap, and events go on after its cursor", async (context) => {
  let loads = 0;
  const { server, until, events } = await client(
    context,
    (_, response, number) => {
      if (number === 1) stream(response, event(11), event("15", "{}", "streamy.gap"), event(16));
      else stream(response, event(21));
    },
    { load: async () => String(++loads * 10) },
  );
  await until(() => events().includes(21));
  assert.deepEqual(events(), [11, 21]);
  assert.deepEqual(server.requests.map(place), ["10", "20"]);
});

test("a load that fails is tried again, before anything is connected", async (context) => {
  let loads = 0;
  const failing = context.mock.method(console, "error", () => {});
  const { until, events, seen } = await client(context, (_, response) => stream(response, event(1)), {
    load: async () => {
      if (++loads === 1) throw new Error("the database is away");
      return "0";
    },
  });
  await until(() => events().length === 1);
  assert.equal(seen.find(([, now]) => now === "waiting")[2].reason, "load");
  assert.equal(failing.mock.callCount(), 1);
});

test("a handler that fails spoils itself only, and its event isn't repeated", async (context) => {
  const failing = context.mock.method(console, "error", () => {});
  const got = [];
  const { until, server } = await client(
    context,
    (_, response, number) => {
      if (number === 1) stream(response, event(1), event(2)).end();
      else stream(response, event(3));
    },
    {
      on: {
        message(data) {
          got.push(data);
          if (data === 1) throw new Error("mine");
          if (data === 3) noted();
        },
      },
    },
  );
  let noted;
  await new Promise((done) => (noted = done));
  assert.deepEqual(got, [1, 2, 3]);
  assert.equal(failing.mock.callCount(), 1);
  assert.equal(server.requests.length, 2);
  await until(() => true);
});

test("data is JSON, or text if it isn't; and always text if json is false", async (context) => {
  const frames = [event(1, '{"a": 1}'), event(2, "plain")];
  const one = await client(context, (_, response) => stream(response, ...frames));
  const other = await client(context, (_, response) => stream(response, ...frames), { json: false });
  await Promise.all([one, other].map(({ until, events }) => until(() => events().length === 2)));
  assert.deepEqual(one.events(), [{ a: 1 }, "plain"]);
  assert.deepEqual(other.events(), ['{"a": 1}', "plain"]);
});

test("a handler is told the stream where the server says it", async (context) => {
  const frames = [`stream: news\n${event(1)}`, event(2)];
  const told = await client(context, (_, response) => stream(response, ...frames), {
    on: { message: (_, { stream }) => told.note("event", stream) },
  });
  await told.until(() => told.events().length === 2);
  assert.deepEqual(told.events(), ["news", undefined]);
});

test("a name that every object has is no handler", async (context) => {
  const failing = context.mock.method(console, "error", () => {});
  const { until, events } = await client(context, (_, response) => stream(response, event(1, "{}", "hasOwnProperty"), event(2)));
  await until(() => events().length === 1);
  assert.equal(failing.mock.callCount(), 0);
});

test("after close nothing is told and nothing is asked", async (context) => {
  const { server, until, events, seen, connection } = await client(context, (_, response) => {
    stream(response, event(1));
    setTimeout(() => response.write(event(2)), 100);
  });
  await until(() => events().length === 1);
  connection.close();
  const told = seen.length;
  await new Promise((done) => setTimeout(done, 300));
  assert.equal(seen.length, told);
  assert.equal(connection.state, "ended");
  assert.equal(server.requests.length, 1);
});

test("the cursor is where it begins, and headers are sent", async (context) => {
  const { server, until, events } = await client(context, (_, response) => stream(response, event(8)), {
    cursor: "7",
    headers: { "X-Own": "yes" },
  });
  await until(() => events().length === 1);
  assert.equal(place(server.requests[0]), "7");
  assert.equal(server.requests[0].headers["x-own"], "yes");
  assert.equal(server.requests[0].headers.accept, "text/event-stream, text/event-stream;streams=1");
});

test("it waits at random, and at most for as long as the server's retry while an outage is short", async (context) => {
  const { until, seen } = await client(context, (_, response, number) => {
    if (number === 1) stream(response).end();
    else response.writeHead(502).end();
  });
  await until(() => seen.filter(([, now]) => now === "waiting").length === 8);
  const delays = seen.filter(([, now]) => now === "waiting").map(([, , why]) => why.delay);
  assert.ok(delays[0] <= 20 && new Set(delays).size === 8);
});
