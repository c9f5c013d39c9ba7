"""Streams that use the app's own engine: one pool of connections for both."""

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from streamy_core import StreamManager

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)
with app.app_context():
    app.config["STREAMY_BROKER_URL"] = "sql:"
    app.config["STREAMY_BROKER_OPTIONS"] = {"engine": db.engine}
sse = StreamManager(app)
