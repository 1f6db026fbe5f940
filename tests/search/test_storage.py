"""Storages: URLs, waiting for a database that is away, and locks between processes."""

import sqlite3
import threading
import time

import optuna
import pytest
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from lightning_mm.errors import InputError, Interrupted
from lightning_mm.search.storage import _is_outage, hide_password, normalised, open_storage


@pytest.fixture
def storage(url):
    storage = open_storage(url)
    yield storage
    storage.close()


def test_postgres_gets_the_driver_that_is_installed():
    assert normalised("postgresql://me:secret@host/db") == "postgresql+psycopg://me:secret@host/db"
    assert normalised("postgresql+psycopg2://host/db") == "postgresql+psycopg2://host/db"
    assert normalised("sqlite:///a.db") == "sqlite:///a.db"


def test_passwords_are_not_shown():
    assert hide_password("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("study.db", r"storage 'study.db': must be a URL such as sqlite:///study.db"),
        ("mysql://me:secret@host/db", r"mysql://me:\*\*\*@host/db: not a usable study storage; must be sqlite"),
        ("sqlite:////proc/nowhere/study.db", r"/proc/nowhere/study.db: its folder cannot be made"),
        ("postgresql+nosuchdriver://host/db", r"nosuchdriver"),
    ],
)
def test_unusable_urls_are_refused(url, message):
    with pytest.raises(InputError, match=message) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "study.db").write_text("not a database " * 100)
    with pytest.raises(InputError, match=r"study.db: not a usable study storage \(file is not a database\)"):
        open_storage(f"sqlite:///{tmp_path / 'study.db'}")


def test_a_locked_file_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_mm.search.storage._LOCK_TIMEOUT_S", 0.2)
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
    release.start()
    optuna.create_study(storage=storage, study_name="late")
    release.join()
    assert optuna.get_all_study_names(storage) == ["late"]
    other.close()
    storage.close()


def test_patience_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_mm.search.storage._LOCK_TIMEOUT_S", 0.1)
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}", patience=0.3)
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(
        Interrupted, match=r"study.db: not reached for \d+ s \(database is locked\); run the same command"
    ):
        optuna.create_study(storage=storage, study_name="never")
    other.execute("ROLLBACK")
    other.close()
    storage.close()


def test_what_waiting_cannot_mend_is_raised_at_once(storage):
    optuna.create_study(storage=storage, study_name="x")
    start = time.monotonic()
    with pytest.raises(DuplicatedStudyError):
        optuna.create_study(storage=storage, study_name="x")
    with pytest.raises(KeyError):
        optuna.load_study(study_name="y", storage=storage)
    trial = optuna.load_study(study_name="x", storage=storage).ask()
    with pytest.raises((StorageInternalError, TypeError)):
        trial.set_user_attr("no JSON", object())
    assert time.monotonic() - start < 30


def test_a_server_that_stops_and_starts_is_waited_for(postgres):
    said = []
    storage = open_storage(postgres.database(), announce=said.append)
    study = optuna.create_study(storage=storage, study_name="x")
    study.enqueue_trial({"a": 1})
    postgres.stop()
    back = threading.Timer(2.0, postgres.start)
    back.start()
    trial = study.ask()
    back.join()
    assert trial.suggest_int("a", 0, 3) == 1
    postgres.stop()  # and in the middle of a trial
    postgres.start()
    study.tell(trial, 1.0)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE]
    assert "does not answer" in said[0]
    assert "answers again" in said[1]
    storage.close()


def test_one_at_a_time_has_the_lock(storage):
    number, most = [0, 0], []

    def count_up():
        for _ in range(10):
            with storage.exclusively("count"):
                number[1] += 1
                most.append(number[1])
                before = number[0]
                time.sleep(0.001)
                number[0] = before + 1
                number[1] -= 1

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (number, max(most)) == ([40, 0], 1)


def test_after_one_outage_nothing_waits_all_over_again(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_mm.search.storage._LOCK_TIMEOUT_S", 0.1)
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}", patience=0.3)
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for _ in range(2):
        with pytest.raises(Interrupted):
            optuna.create_study(storage=storage, study_name="never")
        assert storage.patience == 0.0
    other.execute("ROLLBACK")
    optuna.create_study(storage=storage, study_name="back")
    other.close()
    storage.close()


def test_a_full_disk_is_not_waited_for():
    full = OperationalError("x", {}, sqlite3.OperationalError("database or disk is full"))
    locked = OperationalError("x", {}, sqlite3.OperationalError("database is locked"))
    assert (_is_outage(full), _is_outage(locked)) == (False, True)
