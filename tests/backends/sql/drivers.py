"""`from_url` from a module that imports SQLAlchemy and the drivers.

What a test's other processes are forked from imports the module of what they are handed, once for all; the
library's own waits with its imports until a broker is made, and so would each of the processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

import psycopg  # noqa: F401
import pymysql  # noqa: F401
import sqlalchemy.dialects.mysql
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite  # noqa: F401

from streamy_backends import sql
from streamy_backends.sql import broker as _broker  # noqa: F401

for _driver in ("MySQLdb", "psycopg2"):
    with suppress(ImportError):  # without it, its tests are skipped
        import_module(_driver)


def from_url(url: str, options: Mapping[str, Any]) -> sql.SqlBroker:
    """As the library's."""
    return sql.from_url(url, options)
