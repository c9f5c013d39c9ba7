"""An app whose pages use streamy.js, and whose streams can be made to fail in every way."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, render_template_string, request, url_for
from flask.typing import ResponseReturnValue

from streamy_core import StreamManager

from ..support.app import clients_of, settings_in_environment

PAGE = """<!doctype html><meta charset="utf-8"><title>A page</title>
{{ streamy_script(nonce="n0") }}
<script type="module" nonce="n0">
  import { connect } from "streamy";
  const given = {{ given|tojson }};
  const seen = (window.seen = { events: [], states: [], gaps: 0, whys: [], value: null, loads: 0 });
  const options = {
    share: given.share,
    withCredentials: given.abroad,
    headers: given.headers,
    on: { message(data) { seen.events.push(data); } },
    gap() { seen.gaps += 1; },
    state(now, why) { seen.states.push(now); seen.whys.push(why); },
  };
  if (given.renew) {
    options.renew = async (status) => {
      seen.renewed = status;
      return given.url + "&grant=fresh";
    };
  }
  if (given.grant) {
    seen.renewals = 0;
    options.renew = async (status) => {
      seen.renewals += 1;
      seen.statuses = [...(seen.statuses ?? []), status ?? 0];
      return (await fetch(given.grant)).text();
    };
  }
  if (given.letIn) {
    await fetch(given.letIn, { credentials: "include" });
    options.renew = given.letIn;
  }
  if (given.cursor) options.cursor = given.cursor;
  if (given.load) {
    options.load = async () => {
      const { cursor, value } = await (await fetch("/count")).json();
      seen.value = value;
      seen.loads += 1;
      return cursor;
    };
    options.on.message = (data) => {
      if (data !== seen.value + 1) seen.events.push([seen.value, data]);
      seen.value = data;
    };
  }
  window.stream = connect(given.url, options);
</script>"""

NATIVE = """<!doctype html><script>
  const seen = (window.seen = { events: [], states: [] });
  const source = new EventSource("{{ abroad }}/events?ids=news", { withCredentials: true });
  source.onerror = () => seen.states.push(source.readyState === 2 ? "closed" : "waiting");
  source.onopen = () => seen.states.push("live");
  source.onmessage = ({ data }) => seen.events.push(JSON.parse(data));
</script>"""

POLICY = "default-src 'none'; script-src 'nonce-n0' 'self'; connect-src 'self'"


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(settings_in_environment(), SECRET_KEY="of the shop")
    sse = StreamManager(app)
    app.register_blueprint(sse.blueprint)
    modes = {"*": "ok"}
    asked: Counter[str] = Counter()
    answers: list[dict[str, Any]] = []
    renewed = {"times": 0}
    count = {"value": 0}
    lock = threading.Lock()

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/")
    def page() -> ResponseReturnValue:
        name = request.args.get("stream", "news")
        abroad = request.args.get("abroad", "")
        given = {
            "url": f"{abroad}/events?ids={name}",
            "abroad": bool(abroad),
            "headers": {"Authorization": "Bearer x"} if "bearer" in request.args else {},
            "renew": "renew" in request.args,
            "share": request.args.get("share") or "share" in request.args,
            "load": "load" in request.args,
            "cursor": sse.cursor(name) if "cursor" in request.args else "",
        }
        if (expires := request.args.get("grant", type=float)) is not None:
            given["url"] = sse.grant_url("granted", name, expires=expires)
            given["grant"] = url_for("grant", stream=name, expires=expires)
        if (expires := request.args.get("cookie", type=float)) is not None:
            given["url"] = f"{abroad}/granted"
            given["letIn"] = f"{abroad}/let-in?stream={name}&expires={expires}"
        return render_template_string(PAGE, given=given), {"Content-Security-Policy": f"{POLICY} {abroad}"}

    @app.get("/native")
    def native() -> str:
        return render_template_string(NATIVE, abroad=request.args.get("abroad", ""))

    @app.get("/events")
    def events() -> ResponseReturnValue:
        name = request.args["ids"]
        asked[name] += 1
        match modes.get(name, modes["*"]):
            case "ok":
                return sse.get_stream(name)
            case "401" if request.args.get("grant") == "fresh":
                return sse.get_stream(name)
            case "members":
                if request.cookies.get("member") != "yes":
                    return "", 403
                return sse.get_stream(name, allow_origins=request.headers.get("Origin", ()))
            case "portal":
                return "<p>Log in to the Wi-Fi"
            case "503":
                return "", 503, {"Retry-After": "1"}
            case status:
                return "", int(status)

    @app.get("/grant")
    def grant() -> str:
        return sse.grant_url("granted", request.args["stream"], expires=float(request.args["expires"]))

    @app.get("/let-in")
    def let_in() -> ResponseReturnValue:
        response = Response(status=204)
        origin = request.headers["Origin"]
        response.headers.update(
            {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
        )
        expires = float(request.args["expires"])
        if expires:
            sse.set_grant_cookie(
                response, request.args["stream"], expires=expires, same_site="None", partitioned=True
            )
            renewed["times"] += 1
        return response

    @app.get("/renewed")
    def how_often_renewed() -> Response:
        return jsonify(renewed["times"])

    @app.get("/granted")
    def granted() -> ResponseReturnValue:
        return sse.get_stream(sse.granted().streams)

    @app.post("/mode/<now>")
    def set_mode(now: str) -> str:
        modes[request.args.get("stream", "*")] = now
        return now

    @app.post("/send/<name>")
    def send(name: str) -> str:
        return sse.send_event(name, request.get_data(as_text=True))

    @app.post("/run/<path:name>")
    def start_run(name: str) -> str:
        def ticks() -> Iterator[str]:
            while True:
                yield "tick"
                time.sleep(0.05)

        sse.start_run(name, ticks())
        return "started"

    @app.post("/end/<name>")
    def end(name: str) -> str:
        sse.end_stream(name)
        return "ended"

    @app.post("/cut")
    def cut() -> str:
        sse.disconnect(stream_id=request.args["stream"])
        return "cut"

    @app.after_request
    def note(response: Response) -> Response:
        if request.path in ("/events", "/granted"):
            answers.append(
                {
                    "method": request.method,
                    "status": response.status_code,
                    "site": request.headers.get("Sec-Fetch-Site"),
                    "cookie": request.cookies.get("member"),
                    "bearer": request.headers.get("Authorization"),
                }
            )
        return response

    @app.get("/answers")
    def what_came() -> Response:
        return jsonify(answers)

    @app.get("/asked")
    def how_often() -> Response:
        return jsonify(events=asked.total(), clients=clients_of(sse))

    @app.get("/asked/each")
    def how_often_each() -> Response:
        return jsonify(asked)

    @app.get("/count")
    def state() -> Response:
        cursor = sse.cursor("count")  # first the cursor, then the data
        return jsonify(cursor=cursor, value=count["value"])

    @app.post("/count")
    def run() -> str:
        """Count, 50 times a second, on a thread of its own, for so many seconds; or once."""
        until = time.monotonic() + float(request.args["seconds"])

        def change() -> None:
            while time.monotonic() < until:
                with lock:
                    count["value"] += 1
                    sse.send_event("count", count["value"])
                time.sleep(0.02)

        threading.Thread(target=change).start()
        return "begun"

    return app
