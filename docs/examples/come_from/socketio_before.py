"""Prices that pages follow, by Flask-SocketIO."""

from flask import Flask, request
from flask_socketio import SocketIO, join_room

app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading")


@socketio.on("follow")
def follow(name: str) -> None:
    join_room(name)


@app.put("/prices/<name>")
def put(name: str) -> str:
    socketio.emit("price", {"name": name, "price": request.form["price"]}, to=name)
    return "noted\n"
