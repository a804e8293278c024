"""What the outside world remembers, in one SQLite database.

Every call to a provider is one synchronous transaction on the event loop's thread: it cannot be interleaved with
another, and it is committed before it is answered. A transaction takes tens of microseconds, so nobody waits for it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

BUSY_SECONDS = 5
"""How long to wait for another program that has locked the file, such as someone's ``sqlite3``."""

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE operations (            -- of the gateway; an authorisation's key may be burned before it is used
    key TEXT PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, reference TEXT, digest TEXT,
    token TEXT, amount INTEGER NOT NULL, currency TEXT NOT NULL, reason TEXT, at REAL NOT NULL
);
CREATE TABLE first_times (           -- fates that strike the first request with a key, and leave no other trace
    key TEXT NOT NULL, fate TEXT NOT NULL, PRIMARY KEY (key, fate)
);
CREATE TABLE bookings (
    carrier TEXT NOT NULL, key TEXT NOT NULL, tracking_number TEXT UNIQUE, status TEXT NOT NULL, reference TEXT,
    parcel INTEGER, digest TEXT, at REAL NOT NULL, PRIMARY KEY (carrier, key)
);
CREATE TABLE shipment_events (       -- made at the booking; one happens when it is due, and is then called back
    event_id TEXT PRIMARY KEY, carrier TEXT NOT NULL, booking_key TEXT NOT NULL, tracking_number TEXT NOT NULL,
    number INTEGER NOT NULL, state TEXT NOT NULL, due REAL NOT NULL, pending INTEGER NOT NULL,
    attempts INTEGER NOT NULL, next_call REAL NOT NULL,
    traceparent TEXT,                -- of the request that booked, so that the call can be linked to it
    UNIQUE (carrier, booking_key, number)
);
CREATE INDEX shipment_events_of ON shipment_events (tracking_number);
CREATE INDEX shipment_events_pending ON shipment_events (next_call) WHERE pending = 1;
CREATE TABLE messages (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, id TEXT NOT NULL, digest TEXT NOT NULL,
    reference TEXT NOT NULL, template TEXT NOT NULL, recipient TEXT NOT NULL, subject TEXT NOT NULL,
    body TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX messages_of ON messages (reference);
CREATE TABLE effects (               -- a row for each time something happened; nothing here keeps it to once a key
    number INTEGER PRIMARY KEY, provider TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, order_id TEXT NOT NULL,
    amount INTEGER, at REAL NOT NULL
);
CREATE INDEX effects_by_key ON effects (key);
CREATE INDEX effects_by_order ON effects (order_id, number);
CREATE TABLE requests (
    key TEXT NOT NULL, provider TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (key, provider, kind)
);
CREATE TABLE faults (provider TEXT PRIMARY KEY, settings TEXT NOT NULL);
"""


class State:
    """The database, opened and with its tables."""

    def __init__(self, path: str) -> None:
        """Open the database, and make its tables where it is new.

        Args:
            path: Of a file, or ``:memory:``.

        Raises:
            sqlite3.Error: If it cannot be opened, or is no database of this program.
        """
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        try:
            # NORMAL with a write-ahead log: a killed process loses nothing; only a power cut may lose the last commits.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._make_tables()
        except BaseException:
            self._connection.close()
            raise

    def _make_tables(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version or tables:
            raise sqlite3.DatabaseError(f"has other tables than those of version {SCHEMA_VERSION} of the sandbox")
        self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed at the end of the block, rolled back if it raises. Never await inside.

        Yields:
            The connection to use.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def check(self) -> None:
        """Make sure that the database answers.

        Raises:
            sqlite3.Error: If it does not.
        """
        self._connection.execute("SELECT count(*) FROM faults").fetchone()

    def close(self) -> None:
        """Close the database. Nothing is lost."""
        self._connection.close()
