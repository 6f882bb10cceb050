"""URIs of tracking stores: passwords, SQLite's file, and how long a database server may take."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SERVERS = ("postgresql", "mysql")
"""Schemes of databases whose drivers know ``connect_timeout``."""
_LIBPQ = ("postgresql://", "postgresql+psycopg2://", "postgresql+psycopg://")
_MYSQL = ("mysql://", "mysql+mysqldb://", "mysql+pymysql://")

_HIDDEN = "***"
_PASSWORD = re.compile(
    r"(?<![\w+.-])(?P<http>https?\\*://[^:/@\s]*:)[^/?#\s]*(?=@)"
    r"|(?<![\w+.-])(?P<database>(?!https?\\*:)[\w+.-]+\\*://[^:/@\s]*:)(?:[^/?#\s]*|[^?@\s]*)(?=@)"
    r"|(?P<key>[?&](?:ssl)?(?:password|passwd|pwd|token)=)(?:[^&#\s'\"]|['\"](?=[\w%.~+-]))+",
    re.IGNORECASE,
)
"""Of ``scheme://user:PASSWORD@host``, in which Hydra writes colons as ``\\:``, and of ``?password=PASSWORD``."""


def masked(text: str) -> str:
    """``text`` with ``***`` for the passwords of all URIs in it."""
    return _PASSWORD.sub(lambda match: f"{match['http'] or match['database'] or match['key']}{_HIDDEN}", text)


def recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the password of its store, as it is written to files."""
    uri = config["tracking"]["uri"]
    return {**config, "tracking": {**config["tracking"], "uri": None if uri is None else masked(uri)}}


def usable(uri: str | None) -> str | None:
    """``uri``, unless it is None or a record with a masked password: then MLFLOW_TRACKING_URI, if that is set."""
    if uri is None or is_masked(uri):
        return os.environ.get("MLFLOW_TRACKING_URI") or uri
    return uri


def is_masked(uri: str) -> bool:
    return masked(uri) == uri and _PASSWORD.search(uri) is not None


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite database."""
    scheme, _, database = uri.partition(":///")
    return Path(database.split("?", 1)[0]) if scheme.startswith("sqlite") and database else None


def bounded(uri: str, seconds: int, lock_seconds: int) -> str:
    """The URI of a database server with options that end a statement, or its wait for a lock; others unchanged.

    Without them, a call waits as long as another program holds a lock, or until the system gives up a broken
    connection. Options in the URI, and in libpq's PGOPTIONS, win over these.
    """
    if uri.startswith(_LIBPQ):
        limits = f"-c statement_timeout={seconds}s -c lock_timeout={lock_seconds}s"
        added = {"tcp_user_timeout": str(1000 * seconds), "options": os.environ.get("PGOPTIONS", "")}
    elif uri.startswith(_MYSQL):
        limits, added = "", {"read_timeout": str(seconds), "write_timeout": str(seconds)}
    else:
        return uri
    from sqlalchemy import make_url

    url = make_url(uri)
    query = added | dict(url.query)
    if limits:  # the last of two values counts
        options = query["options"]
        query["options"] = " ".join([limits, *([options] if isinstance(options, str) else options)]).strip()
    return url.set(query=query).render_as_string(hide_password=False)
