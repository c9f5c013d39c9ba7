"""The tables among an app's own: its migrations make them, and find them to be what they should."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Column, Engine, Integer, MetaData, Table, inspect
from sqlalchemy.orm import Session

from streamy_backends.sql import add_tables, include_object
from streamy_core import ConfigError
from streamy_core.testing.reading import data_of, events, read_all

from ..conftest import NewBroker, NewManager
from .conftest import NewEngine, with_driver
from .servers import Server
from .shop import texts

ENV: Final = """\
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine

from streamy_backends.sql.tables import add_tables

metadata = MetaData()
Table({prefix!r} + "orders", metadata, Column("number", Integer, primary_key=True))
add_tables(metadata, prefix={prefix!r})
engine = create_engine({url!r})

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
"""An app's, whose models are a table of orders."""


@pytest.fixture
def own_url(shared: Callable[[str], Server], url: str, tmp_path: Path, prefix: str) -> str:
    """The URL of an empty database."""
    kind = url.partition(":")[0]
    return f"sqlite:///{tmp_path}/own.db" if kind == "sqlite" else shared(kind).new_database(f"{prefix}own")


@pytest.fixture
def models(prefix: str) -> MetaData:
    """What the app's database should hold."""
    metadata = MetaData()
    Table(f"{prefix}orders", metadata, Column("number", Integer, primary_key=True))
    add_tables(metadata, prefix=prefix)
    return metadata


@pytest.fixture
def alembic(tmp_path: Path, own_url: str, prefix: str) -> Config:
    """Of an app whose migrations are in a folder as `alembic init` makes it."""
    folder = tmp_path / "migrations"
    config = Config(tmp_path / "alembic.ini")
    config.set_main_option("script_location", str(folder))
    command.init(config, str(folder))
    (folder / "env.py").write_text(ENV.format(prefix=prefix, url=with_driver(own_url)))
    return config


def differences(engine: Engine, models: MetaData) -> list[Any]:
    """What a migration would change."""
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), models))


def test_tables_that_the_broker_made_are_what_the_models_say(
    new_broker: NewBroker, new_engine: NewEngine, own_url: str, models: MetaData, prefix: str
) -> None:
    new_broker(own_url).append("news", events("hello"))
    engine = new_engine(own_url)
    models.tables[f"{prefix}orders"].create(engine)
    assert differences(engine, models) == []


def test_tables_that_are_missing_are_seen(new_engine: NewEngine, own_url: str, models: MetaData) -> None:
    found = differences(new_engine(own_url), models)
    assert sorted(name for name, _ in found) == ["add_index", *["add_table"] * 5]


def test_a_migration_that_alembic_writes_makes_tables_that_serve(
    alembic: Config, new_manager: NewManager, new_engine: NewEngine, own_url: str
) -> None:
    command.revision(alembic, "streams", autogenerate=True)
    command.upgrade(alembic, "head")
    sse = new_manager(own_url, create_tables=False)
    sse.send_events("news", ["hello", "x" * 200_000])
    with Session(new_engine(own_url)) as session:
        sse.send_event("news", "within", session=session)
        session.commit()
    assert texts(sse) == ["hello", "x" * 200_000, "within"]


def test_a_migration_that_alembic_writes_makes_what_the_models_say(
    alembic: Config, new_engine: NewEngine, own_url: str, models: MetaData
) -> None:
    command.revision(alembic, "streams", autogenerate=True)
    command.upgrade(alembic, "head")
    engine = new_engine(own_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    assert differences(engine, models) == []


def test_after_a_migration_alembic_finds_nothing_more_to_do(alembic: Config) -> None:
    command.revision(alembic, "streams", autogenerate=True)
    command.upgrade(alembic, "head")
    command.check(alembic)


def test_a_migration_can_be_taken_back(alembic: Config, new_engine: NewEngine, own_url: str) -> None:
    command.revision(alembic, "streams", autogenerate=True)
    command.upgrade(alembic, "head")
    command.downgrade(alembic, "base")
    assert inspect(new_engine(own_url)).get_table_names() == ["alembic_version"]


def test_the_models_themselves_make_tables_that_serve(
    new_engine: NewEngine, new_broker: NewBroker, own_url: str, models: MetaData
) -> None:
    models.create_all(new_engine(own_url))
    broker = new_broker(own_url, create_tables=False)
    for name in ("news", "News", "news ", "ñews"):
        broker.append(name, events(name))
    assert data_of(read_all(broker, "news ")) == ["news "]


def test_a_prefix_that_needs_quoting_is_refused() -> None:
    with pytest.raises(ConfigError, match="'table_prefix' has to be text of letters"):
        add_tables(MetaData(), prefix="a-b")


PLAIN_ENV: Final = ENV.replace("from streamy_backends.sql.tables import add_tables\n\n", "").replace(
    "add_tables(metadata, prefix={prefix!r})\n", ""
)
"""An app's that knows nothing of Streamy."""


@pytest.fixture
def plain_alembic(alembic: Config, tmp_path: Path, own_url: str, prefix: str) -> Config:
    env = PLAIN_ENV.format(prefix=prefix, url=with_driver(own_url))
    (tmp_path / "migrations" / "env.py").write_text(env)
    return alembic


def written(alembic: Config) -> str:
    """What the newest migration does."""
    command.revision(alembic, "next", autogenerate=True)
    (folder,) = Path(alembic.get_main_option("script_location") or "").glob("versions")
    newest = max(folder.glob("*.py"), key=lambda file: file.stat().st_mtime_ns)
    command.upgrade(alembic, "head")
    return newest.read_text()


def test_migrations_of_an_app_that_says_nothing_of_the_tables_leave_them_alone(
    plain_alembic: Config, new_broker: NewBroker, own_url: str, prefix: str
) -> None:
    broker = new_broker(own_url)
    broker.append("news", events("kept"))
    first = written(plain_alembic)
    assert f"create_table('{prefix}orders'" in first
    assert "drop_table" not in first.partition("def downgrade")[0]
    assert "op." not in written(plain_alembic)
    command.check(plain_alembic)
    assert data_of(read_all(broker, "news")) == ["kept"]


def test_migrations_drop_a_table_of_the_apps_that_is_named_like_ours(
    plain_alembic: Config, new_broker: NewBroker, new_engine: NewEngine, own_url: str, prefix: str
) -> None:
    new_broker(own_url)
    others = MetaData()
    for name in ("orders_streams", "orders_keys"):
        Table(name, others, Column("epoch", Integer))
    others.create_all(new_engine(own_url))
    up = written(plain_alembic).partition("def downgrade")[0]
    assert sorted(re.findall(r"drop_table\('(\w+)'", up)) == ["orders_keys", "orders_streams"]


def test_include_object_keeps_our_tables_out_of_alembics_sight_and_no_others(
    new_engine: NewEngine, new_broker: NewBroker, own_url: str, models: MetaData, prefix: str
) -> None:
    new_broker(own_url)
    found = MetaData()
    found.reflect(new_engine(own_url))
    seen = {name: include_object(table, name, "table", True, None) for name, table in found.tables.items()}
    assert set(seen.values()) == {False}
    assert include_object(models.tables[f"{prefix}orders"], f"{prefix}orders", "table", True, None)
    kept = found.tables[f"{prefix}streams"]
    assert include_object(kept, kept.name, "table", True, models.tables[kept.name])
    assert include_object(kept.c.head, "head", "column", True, None)
