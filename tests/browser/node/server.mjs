// A server that does what each test tells it to: `serve((request, response) => …)`.
import { createServer } from "node:http";

export async function serve(handler) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request);
    handler(request, response, requests.length);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    requests,
    url: `http://127.0.0.1:${server.address().port}/events`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

export function stream(response, ...frames) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(opening);
  for (const frame of frames) response.write(frame);
  return response;
}

export const opening = 'id: 0\nretry: 20\nevent: streamy.open\ndata: {"keep_alive": 30}\n\n';
export const event = (id, data = id, name = "") => `id: ${id}\n${name && `event: ${name}\n`}data: ${data}\n\n`;
export const place = (request) => new URL(request.url, "http://x").searchParams.get("last_event_id");
