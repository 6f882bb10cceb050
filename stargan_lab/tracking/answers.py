"""Whether a tracking store answers at all, before any call that would wait long for it."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from stargan_lab.tracking.uri import SERVERS, sqlite_file


def check_answers(uri: str, seconds: float) -> None:
    """Wait at most ``seconds`` for an answer of the store, whatever it is. Other kinds of stores are not checked.

    Raises:
        Exception: of the library that was used: the database is locked, or the server is away or hangs.
    """
    if (database := sqlite_file(uri)) is not None:
        _check_unlocked(database, seconds)
    elif uri.startswith(("http:", "https:")):
        _check_http(uri, seconds)
    elif uri.startswith(SERVERS):
        from sqlalchemy import NullPool, create_engine

        arguments = {"connect_timeout": max(int(seconds), 1)}
        create_engine(uri, poolclass=NullPool, connect_args=arguments).connect().close()


def _check_unlocked(database: Path, seconds: float) -> None:
    if not database.exists():
        return
    with closing(sqlite3.connect(database, seconds, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _check_http(uri: str, seconds: float) -> None:
    import requests

    with suppress(requests.exceptions.SSLError):  # an answer, too; MLflow decides about certificates
        requests.get(f"{uri.rstrip('/')}/health", timeout=seconds, allow_redirects=False, stream=True).close()
