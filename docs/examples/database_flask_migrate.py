"""An app whose tables Flask-Migrate looks after, while the broker looks after its own."""

import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from streamy_core import StreamManager

URL = os.environ["DATABASE_URL"]

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = URL
app.config["STREAMY_BROKER_URL"] = URL
db = SQLAlchemy(app)
migrate = Migrate(app, db)
sse = StreamManager(app)


class Message(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.Text, nullable=False)
