"""The store: one SQLite file that holds every finished trial, shared by any number of runs at once."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from replica.errors import ReplicaError

SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE trials (
    key TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    seed INTEGER NOT NULL,
    what TEXT NOT NULL,          -- all that the key was made of, as JSON
    status TEXT NOT NULL CHECK (status IN ('ok', 'error')),
    measures TEXT,               -- JSON; NULL for an error
    series TEXT,
    error TEXT,                  -- one line
    traceback TEXT,
    seconds REAL NOT NULL,
    peak_bytes INTEGER,
    finished REAL NOT NULL,      -- Unix time
    machine TEXT NOT NULL,       -- JSON: versions, processor
    output TEXT                  -- the end of what it printed
) WITHOUT ROWID;
CREATE INDEX trials_by_subject ON trials (subject, seed);
CREATE TABLE leases (
    key TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    born INTEGER NOT NULL,       -- the process's start, so that a recycled pid is not taken for it
    expires REAL NOT NULL        -- for owners on another host, whose pids cannot be seen from here
) WITHOUT ROWID;
"""
BUSY_SECONDS = 120.0
JSON = ("what", "measures", "series", "machine")

Lease = Literal["taken", "busy", "done"]


COLUMNS = (
    "key", "subject", "seed", "what", "measures", "series", "error", "traceback", "seconds", "peak_bytes", "machine", "output",
)  # fmt: skip
REMEDIES = {
    "full": "The disk is full: free some room and run the same command again; finished trials are safe.",
    "readonly": "It cannot be written: mend its permissions, or choose another with --store FILE.",
    "unable to open": "It cannot be written: mend its permissions, or choose another with --store FILE.",
    "disk I/O": "Its disk fails or is full: mend that and run the command again, or choose another with --store FILE.",
    "locked": "Another program holds it: close that, and run the same command again.",
}
"""What to do, by a word of what SQLite says; of all else, as below."""
DAMAGED = "It is damaged and was left as it is: move it away to start anew, or choose another with --store FILE."


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What came of a trial: its measures and series, or its error; what it cost; the machine that ran it."""

    seconds: float
    peak_bytes: int | None
    machine: dict[str, Any]
    measures: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    traceback: str = ""
    output: str = ""
    """The end of what it printed, where it ran in a process of its own."""

    @property
    def status(self) -> Literal["ok", "error"]:
        """As the store has it."""
        return "error" if self.error else "ok"


@dataclass(frozen=True, kw_only=True)
class Row(Finished):
    """One finished trial as it is stored."""

    key: str
    subject: str
    seed: int
    what: dict[str, Any]


class Store:
    """Finished trials in SQLite (write-ahead log), keyed by all they depend on; the file is made where missing.

    Any number of processes may share one file: a trial is leased before it runs; the lease of a process that is gone is free.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise ReplicaError(f"The store {self.path} is a folder; name a file, such as {self.path / 'store.sqlite'}.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReplicaError(
                f"The folder of the store, {self.path.parent}, cannot be made ({error.strerror})."
                " Choose another with --store FILE."
            ) from None
        with self._errors():
            self._connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            try:
                self._refuse_foreign()  # before anything is changed in it
                self._write_ahead()
                # In WAL mode NORMAL survives a kill at any moment; a power cut may lose the last trials, never harm the file.
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._make_tables()
            except BaseException:
                self._connection.close()
                raise

    def _write_ahead(self) -> None:
        """Switch to the write-ahead log; SQLite's own patience does not cover two processes that switch at once."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _refuse_foreign(self) -> int:
        """The version of its tables, 0 for none yet."""
        # In this order: another process may make both, which are one transaction, in between.
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in (1, SCHEMA_VERSION) and (version or tables):
            raise ReplicaError(
                f"The store {self.path} is not one of this version of Replica. Choose another with --store FILE."
            )
        return int(version)

    def _make_tables(self) -> None:
        with self._transaction():
            version = self._refuse_foreign()
            if version == SCHEMA_VERSION:
                return
            for statement in SCHEMA.split(";\n") if not version else ["ALTER TABLE trials ADD COLUMN output TEXT"]:
                if statement.strip():
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # Waits its turn; a deferred one may find itself locked out half way.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say what ails the file in one line, and what to do."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            what = str(error)
            known = REMEDIES if isinstance(error, sqlite3.OperationalError) else {}
            remedy = next((remedy for word, remedy in known.items() if word in what), DAMAGED)
            raise ReplicaError(f"The store {self.path} cannot be used ({what}). {remedy}") from None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, keys: Iterable[str]) -> dict[str, Row]:
        """The finished trials among these keys, by key."""
        ask = f"SELECT {', '.join(COLUMNS)} FROM trials WHERE key IN (SELECT value FROM json_each(?))"
        with self._errors():
            return {row["key"]: _row(row) for row in self._connection.execute(ask, (json.dumps(list(keys)),))}

    def mean_seconds(self, subjects: Iterable[str]) -> dict[str, float]:
        """The mean seconds of the sound trials of each subject that has any."""
        ask = (
            "SELECT subject, avg(seconds) FROM trials WHERE status = 'ok' AND subject IN (SELECT value FROM json_each(?))"
            " GROUP BY subject"
        )
        with self._errors():
            return dict(map(tuple, self._connection.execute(ask, (json.dumps(list(subjects)),))))

    def count(self) -> int:
        """How many trials it holds."""
        with self._errors():
            return int(self._connection.execute("SELECT count(*) FROM trials").fetchone()[0])

    def lease(self, key: str, seconds: float) -> Lease:
        """Take a trial to run it, unless it is done or another living process has it, for so many seconds at most."""
        pid = os.getpid()
        with self._errors(), self._transaction():
            if self._connection.execute("SELECT 1 FROM trials WHERE key = ? AND status = 'ok'", (key,)).fetchone():
                return "done"
            owner = self._connection.execute(
                "SELECT host, pid, born, expires FROM leases WHERE key = ?", (key,)
            ).fetchone()
            if owner and _alive(*owner) and owner[1] != pid:
                return "busy"
            self._connection.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)",
                (key, socket.gethostname(), pid, birth(pid) or 0, time.time() + seconds),
            )
            return "taken"

    def release(self, key: str) -> None:
        """Give a trial back without a result."""
        with self._errors(), self._transaction():
            self._connection.execute("DELETE FROM leases WHERE key = ? AND pid = ?", (key, os.getpid()))

    def write(self, row: Row) -> None:
        """Store a finished trial and end its lease, both or neither. A result replaces an earlier error, never the reverse."""
        values: dict[str, Any] = {name: getattr(row, name) for name in (*COLUMNS, "status")}
        texts = {name: json.dumps(values[name], sort_keys=name in ("what", "machine")) for name in JSON}
        values |= texts | {"finished": time.time()} | ({"measures": None} if row.error else {})
        into = f"INSERT OR IGNORE INTO trials ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)})"
        with self._errors(), self._transaction():
            self._connection.execute("DELETE FROM trials WHERE key = ? AND status = 'error'", (row.key,))
            self._connection.execute(into, values)
            self._connection.execute("DELETE FROM leases WHERE key = ?", (row.key,))


def _row(row: sqlite3.Row) -> Row:
    read = {name: json.loads(row[name] or "{}") for name in ("what", "measures", "series")}
    texts = {name: row[name] or "" for name in ("error", "traceback", "output")}
    return Row(**{**dict(row), **read, **texts, "machine": _machine(row["machine"])})


@lru_cache(maxsize=64)
def _machine(text: str) -> dict[str, Any]:
    """The same object for all trials of a machine: rows are many."""
    machine: dict[str, Any] = json.loads(text)
    return machine


def _alive(host: str, pid: int, born: int, expires: float) -> bool:
    if host != socket.gethostname() or os.name == "nt":  # where asking for a process by signal 0 would end it
        return time.time() < expires
    now = birth(pid)
    return now is not None and (now == born or born == 0)


def birth(pid: int) -> int | None:
    """When a process of this machine started, in the system's own clock ticks (0 where it does not say); None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()
        return None if fields[0] == b"Z" else int(fields[19])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def default_store() -> Path:
    """The user's store: in the folder that REPLICA_HOME names, else where the system keeps programs' data."""
    from platformdirs import user_data_path

    home = os.environ.get("REPLICA_HOME")
    return (Path(home) if home else user_data_path("replica")) / "store.sqlite"
