"""URIs of tracking stores: passwords, and limits of a database server's answers."""

import pytest
from sqlalchemy import make_url

from stargan_lab.tracking.uri import bounded, is_masked, masked, usable

LIMITS = "-c statement_timeout=20s -c lock_timeout=10s"


@pytest.mark.parametrize(
    ("uri", "query"),
    [
        ("postgresql://lab:p%40w@db/x", {"options": LIMITS, "tcp_user_timeout": "20000"}),
        (
            "postgresql+psycopg2://db/x?options=-c%20lock_timeout%3D5&tcp_user_timeout=7&sslmode=require",
            {"options": f"{LIMITS} -c lock_timeout=5", "tcp_user_timeout": "7", "sslmode": "require"},
        ),
        ("mysql+pymysql://lab@db/x?read_timeout=5", {"read_timeout": "5", "write_timeout": "20"}),
    ],
)
def test_a_database_server_ends_calls_and_the_uri_wins(uri: str, query: dict[str, str]) -> None:
    url, before = make_url(bounded(uri, 20, 10)), make_url(uri)
    assert dict(url.query) == query
    assert url.set(query={}) == before.set(query={})


def test_options_of_the_environment_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=lab")
    assert make_url(bounded("postgresql://db/x", 20, 10)).query["options"] == f"{LIMITS} -c search_path=lab"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg2://lab:s3cret@db:5/x", "postgresql+psycopg2://lab:***@db:5/x"),
        (r"uri=postgresql\://lab\:s3cret@db\:5/x", r"uri=postgresql\://lab\:***@db\:5/x"),
        ("postgresql://lab:a/b@db/x?mail=a@b", "postgresql://lab:***@db/x?mail=a@b"),
        ("http://lab:a@b@db:5/x failed: HTTP://lab:pw@db", "http://lab:***@db:5/x failed: HTTP://lab:***@db"),
        ("'tracking.uri=\"postgresql://db/x?user=lab&password=pw\"'", "'tracking.uri=\"postgresql://db/x?user=lab&password=***\"'"),
    ],
)  # fmt: skip
def test_passwords_are_masked(text: str, shown: str) -> None:
    assert masked(text) == masked(shown) == shown
    assert is_masked(shown) and not is_masked(text)


@pytest.mark.parametrize(
    "text", ["http://db:5000/a@b", "postgresql://lab@db:5432/x?options=a@b", "sqlite:////a:b@c/mlflow.db"]
)
def test_texts_without_passwords_are_unchanged(text: str) -> None:
    assert masked(text) == text and not is_masked(text)


def test_the_environment_replaces_a_missing_or_masked_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    masked_uri = "postgresql://lab:***@db/x"
    assert (usable(None), usable(masked_uri)) == (None, masked_uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://db")
    assert [usable(uri) for uri in (None, masked_uri, "http://other")] == ["http://db", "http://db", "http://other"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "sqlite:///a/mlflow.db", "postgresql+pg8000://db/x"])
def test_other_uris_are_unchanged(uri: str) -> None:
    assert bounded(uri, 20, 10) == uri
