"""What is usual for each agent, on disk: after a restart nothing has to be learned anew.

One SQLite file, bounded: past `rows_max` the agents heard of longest ago go. One process writes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from otel_ext.detectors.baselines import State

_BUSY_S = 5.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS baselines (agent TEXT, service TEXT, state TEXT NOT NULL, PRIMARY KEY (agent, service))"


class BaselineStore:
    """Open it, load once, keep what changed. Raises OSError where the file cannot be used; never holds the file between two calls."""

    def __init__(self, path: str | Path, rows_max: int) -> None:
        self._path = str(path)
        self._rows_max = rows_max
        self._run(lambda connection: connection.execute(_SCHEMA))

    def load(self) -> list[State]:
        """All rows, those kept longest ago first."""
        rows = self._run(lambda connection: connection.execute("SELECT agent, service, state FROM baselines ORDER BY rowid"))
        return [State(*row) for row in rows]

    def keep(self, states: Iterable[State]) -> None:
        """Write *states* over what was there of these agents."""
        given = list(states)
        if given:
            self._run(lambda connection: connection.executemany("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?)", given))
            old = "DELETE FROM baselines WHERE rowid <= (SELECT rowid FROM baselines ORDER BY rowid DESC LIMIT 1 OFFSET ?)"
            self._run(lambda connection: connection.execute(old, (self._rows_max,)))

    def _run(self, work: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> list[tuple[str, str, str]]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_S)) as connection, connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                return work(connection).fetchall()
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: cannot be used as a store of baselines ({error})") from None
