"""The streams' tables stand among the app's own, so that its migrations make them."""

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from streamy_backends.sql import add_tables
from streamy_core import StreamManager

URL = os.environ["DATABASE_URL"]

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = URL
app.config["STREAMY_BROKER_URL"] = URL
app.config["STREAMY_BROKER_OPTIONS"] = {"create_tables": False}
db = SQLAlchemy(app)
add_tables(db.metadata)
sse = StreamManager(app)
