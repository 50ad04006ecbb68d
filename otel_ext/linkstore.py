"""Which trace goes by which id in Langfuse, on disk: where the two differ, nothing else can say so after a restart.

One SQLite file, bounded: past `rows_max` the pairs learned first go. Several processes may share it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

ROWS_MAX: Final = 100_000
BUSY_S: Final = 5.0
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS links (trace_id TEXT PRIMARY KEY, langfuse_id TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS by_langfuse ON links (langfuse_id)",
)


class Pair(NamedTuple):
    """The trace's own id, 32 hex digits, and the one it has in Langfuse."""

    trace_id: str
    langfuse_id: str


class LinkStore:
    """Open it, add, look up, close. Raises OSError where the file cannot be used; never holds the file between two calls."""

    def __init__(self, path: str | Path, rows_max: int = ROWS_MAX) -> None:
        self._path = str(path)
        self._rows_max = rows_max
        with closing(self._connect()) as connection, connection:
            for statement in _SCHEMA:
                connection.execute(statement)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, timeout=BUSY_S)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: cannot be used as a store of links ({error})") from None
        return connection

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Remember *pairs*; a trace known by another id gets the new one."""
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO links (trace_id, langfuse_id) VALUES (?, ?)", list(pairs))
                connection.execute(
                    "DELETE FROM links WHERE rowid <= (SELECT rowid FROM links ORDER BY rowid DESC LIMIT 1 OFFSET ?)", (self._rows_max,)
                )
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: {error}") from None

    def find(self, either_id: str) -> Pair | None:
        """The pair that *either_id* belongs to, an id of either system."""
        query = "SELECT trace_id, langfuse_id FROM links WHERE trace_id = ?1 OR langfuse_id = ?1 ORDER BY rowid DESC LIMIT 1"
        try:
            with closing(self._connect()) as connection:
                row = connection.execute(query, (either_id,)).fetchone()
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: {error}") from None
        return Pair(*row) if row else None

    def __len__(self) -> int:
        with closing(self._connect()) as connection:
            return int(connection.execute("SELECT count(*) FROM links").fetchone()[0])
