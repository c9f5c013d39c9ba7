"""Prices that pages follow, by Streamy."""

from flask import Flask, Response, render_template, request

from streamy_core import StreamManager

app = Flask(__name__, template_folder="../templates")
sse = StreamManager(app)


@app.get("/")
def page() -> str:
    return render_template("prices.html", names=request.args.getlist("name"))


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream([f"price:{name}" for name in request.args.getlist("name")])


@app.put("/prices/<name>")
def put(name: str) -> str:
    sse.send_event(f"price:{name}", {"name": name, "price": request.form["price"]}, "price")
    return "noted\n"
