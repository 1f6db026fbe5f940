"""Where studies are kept: an SQLite file or a PostgreSQL server, through Optuna's relational storage.

Two things are added to it. SQLite transactions begin with the write lock, without which two processes can take one
waiting trial. And where a server or a lock cannot be had for a while, every operation waits and tries again.
"""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy import TextClause, event, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, PendingRollbackError

from lightning_mm.errors import InputError, Interrupted, first_line
from lightning_mm.runs import fingerprint

PATIENCE_S = 900.0
"""Seconds without the database after which a worker gives up."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 10.0
_LOCK_TIMEOUT_S = 60
_OPENING_ATTEMPTS = 5
_POSTGRES: dict[str, Any] = {
    "pool_pre_ping": True,
    "pool_size": 1,  # of each worker: servers allow 100 connections unless told otherwise
    "max_overflow": 4,
    "connect_args": {
        # Of a machine that has lost power nothing comes, not even an end.
        **{"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3},
        **{"tcp_user_timeout": 60_000},
        "options": "-c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000",
    },
}


class PatientStorage(RDBStorage):
    """Optuna's relational storage that waits with back-off while the database cannot be reached.

    Args:
        url: Database URL, as of ``normalised``.
        patience: Seconds to wait for the database at most, each time; can be changed later.
        announce: Called with a line of text when waiting begins and ends.

    Raises:
        Interrupted: By any method, when patience has ended.
    """

    def __init__(
        self, url: str, patience: float = PATIENCE_S, announce: Callable[[str], None] = lambda line: None
    ) -> None:
        self.patience, self._say = patience, announce
        self._inside = threading.local()
        sqlite = url.startswith("sqlite")
        super().__init__(url, engine_kwargs={"connect_args": {"timeout": _LOCK_TIMEOUT_S}} if sqlite else _POSTGRES)
        if sqlite:
            _lock_at_begin(self.engine)
        for name in dir(RDBStorage):
            # With one underscore as well: Optuna's cache in front of this class calls such methods.
            if not name.startswith("__") and callable(method := getattr(self, name)):
                setattr(self, name, self._patiently(method))

    def close(self) -> None:
        """Close every connection; the storage is not to be used afterwards."""
        self.remove_session()
        self.engine.dispose()

    @contextmanager
    def exclusively(self, name: str) -> Iterator[None]:
        """Hold a lock that one process at a time can have; it is released when the process dies.

        Args:
            name: Name of the lock.
        """
        if self.url.startswith("sqlite"):
            with open(f"{make_url(self.url).database}.lock", "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            return
        lock = text(f"SELECT pg_advisory_xact_lock({int(fingerprint(name)[:8], 16)})")
        connection = self._until_it_works(self._locked, (lock,), {})
        try:
            yield
        finally:
            try:
                connection.close()  # ends the transaction, and the lock with it
            except DBAPIError as error:
                if not _is_outage(error):  # a lost connection has lost its lock already
                    raise

    def _locked(self, lock: TextClause) -> Connection:
        connection = self.engine.connect()
        try:
            connection.execute(lock)
        except BaseException:
            connection.close()
            raise
        return connection

    def _patiently(self, method: Callable) -> Callable:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "call", False):  # of another method, whose transaction this one is part of
                return method(*args, **kwargs)
            self._inside.call = True
            try:
                return self._until_it_works(method, args, kwargs)
            finally:
                self._inside.call = False

        return call

    def _until_it_works(self, method: Callable, args: tuple, kwargs: dict) -> Any:
        start, wait = time.monotonic(), _FIRST_WAIT_S
        while True:
            try:
                result = method(*args, **kwargs)
            except (StorageInternalError, DBAPIError) as error:
                if not _is_outage(error):
                    raise
                waited = time.monotonic() - start
                if waited > self.patience:
                    self.patience = 0.0  # what follows does not wait all over again
                    raise Interrupted(
                        f"{hide_password(self.url)}: not reached for {waited:.0f} s ({_cause(error)}); run the same "
                        "command again to continue"
                    ) from None
                if wait == _FIRST_WAIT_S * 8:
                    self._say(f"{hide_password(self.url)} does not answer ({_cause(error)}); waiting for it")
                time.sleep(min(wait, max(0.0, self.patience - waited)))
                wait = min(2 * wait, _LONGEST_WAIT_S)
            else:
                if wait > _FIRST_WAIT_S * 8:
                    self._say(f"{hide_password(self.url)} answers again after {time.monotonic() - start:.0f} s")
                return result


def open_storage(
    url: str, patience: float = PATIENCE_S, announce: Callable[[str], None] = lambda line: None
) -> PatientStorage:
    """Open a storage, making its tables where there are none.

    Args:
        url: Database URL, such as "sqlite:///runs/smoke/study.db" or "postgresql://user@host/sweeps".
        patience: Seconds to wait for the database at most, each time that it is used.
        announce: Called with a line of text when waiting begins and ends.

    Raises:
        InputError: The URL is none, its driver is not installed, or the database cannot be opened.
    """
    url = normalised(url)
    if url.startswith("sqlite:///") and (file := url.removeprefix("sqlite:///")):
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{url}: its folder cannot be made ({error.strerror})") from None
    for attempt in range(_OPENING_ATTEMPTS):
        try:
            return PatientStorage(url, patience, announce)
        except ImportError:
            advice = "PostgreSQL needs the extra: pip install 'lightning_mm[postgres]'"
            raise InputError(f"{hide_password(url)}: no driver for this database; {advice}") from None
        except Exception as error:  # SQLAlchemy and the drivers raise many kinds
            # Of several processes that make the tables of a new database at once, all but one fail and find them made.
            if attempt == _OPENING_ATTEMPTS - 1:
                raise InputError(f"{hide_password(url)}: not a usable study storage ({_cause(error)})") from None
            time.sleep(_FIRST_WAIT_S * 2**attempt)
    raise AssertionError("unreachable")


def normalised(url: str) -> str:
    """The URL with the PostgreSQL driver that this package installs, where none is named.

    Raises:
        InputError: It is no database URL, or of a kind of database that is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(f"storage {url!r}: must be a URL such as sqlite:///study.db or postgresql://host/db") from None
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise InputError(f"storage {hide_password(url)}: not a usable study storage; must be sqlite or postgresql")
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InputError(f"storage {url}: must name a file, such as sqlite:///study.db; workers share no memory")
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def hide_password(url: str) -> str:
    """The URL as it may be shown."""
    return make_url(url).render_as_string(hide_password=True)


def _lock_at_begin(engine: Engine) -> None:
    """Begin each transaction of SQLite by taking the write lock, waiting for it if need be.

    Otherwise the driver begins one at the first change only: what was read before can be out of date by then, and two
    processes that both have read get "database is locked" without any waiting.
    """

    @event.listens_for(engine, "connect")
    def no_implicit_begin(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections from before


def _is_outage(error: BaseException) -> bool:
    """Whether an error says that the database could not be used, as opposed to being used wrongly."""
    if isinstance(error, DuplicatedStudyError | UpdateFinishedTrialError):
        return False
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    lost = isinstance(cause, DBAPIError) and cause.connection_invalidated
    if "sqlite3" in type(getattr(cause, "orig", None)).__module__:
        return "locked" in str(cause)  # the disk being full, say, does not pass by waiting
    # The last is what goes on behind a lost connection in Optuna's own second attempts at queueing a trial.
    return lost or isinstance(cause, OperationalError | InterfaceError | PendingRollbackError)


def _cause(error: BaseException) -> str:
    cause = error.__cause__ or error
    return first_line(getattr(cause, "orig", None) or cause)[:160]
