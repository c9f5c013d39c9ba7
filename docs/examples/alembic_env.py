"""Alembic's `env.py`: its tables are those of the app's metadata."""

from alembic import context
from database_migrated import app, db

with app.app_context(), db.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
