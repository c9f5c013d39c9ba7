"""On SQLite, transactions that may write from their beginning on."""

from sqlalchemy import Engine, event


def begin_immediate(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def begin_nothing_by_itself(connection, _record) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
