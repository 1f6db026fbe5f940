"""Which loggers a run gets: by its options, by WANDB_MODE, and what is refused before anything is written."""

import os

import pytest
import wandb
from lightning.pytorch.loggers import CSVLogger

from lightning_mm.errors import InputError
from lightning_mm.recording import RunOptions, build_loggers
from lightning_mm.tracking.run import RunLogger, project, resolve_mode
from lightning_mm.training import fit

KEY = "0" * 40


@pytest.fixture(autouse=True)
def no_account(tmp_path_factory, monkeypatch):
    """No key and no settings of this machine's user, nor any that W&B remembers in this process."""
    wandb.teardown()
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_PROJECT", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(home))
    yield home
    wandb.teardown()


def test_nothing_goes_to_wandb_unless_asked_for(tmp_path):
    assert RunOptions().wandb is None
    assert [type(logger) for logger in build_loggers(RunOptions(dir=tmp_path))] == [CSVLogger]
    assert [type(logger) for logger in build_loggers(RunOptions(dir=tmp_path, wandb="off"))] == [CSVLogger]


@pytest.mark.parametrize(
    ("asked", "mode"),
    [("disabled", "off"), ("offline", "offline"), ("dryrun", "offline"), ("online", "online")],
)
def test_wandb_mode_decides_where_the_option_is_left_out(asked, mode, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", asked)
    assert resolve_mode(None) == mode
    for option in ("off", "offline", "online"):
        assert resolve_mode(option) == option


def test_another_wandb_mode_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "")
    assert resolve_mode(None) == "off"
    monkeypatch.setenv("WANDB_MODE", "on")
    with pytest.raises(InputError, match="WANDB_MODE = 'on': must be online, offline or disabled"):
        resolve_mode(None)


@pytest.mark.parametrize("by", ["option", "environment"])
def test_online_without_a_key_is_refused_and_nothing_written(by, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if by == "environment":
        monkeypatch.setenv("WANDB_MODE", "online")
    options = ["--run.wandb=online"] if by == "option" else []
    named = "run.wandb" if by == "option" else "WANDB_MODE"
    with pytest.raises(InputError, match=rf"^{named} = online: needs a key for https://[^ ]+; set WANDB_API_KEY"):
        fit(["--run.dir=runs/x", "--trainer.accelerator=cpu", *options])
    assert os.listdir(tmp_path) == []


def test_a_key_of_the_wrong_form_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(InputError, match=r"^run\.wandb = online: .*(?i:key)"):
        resolve_mode("online")


def test_another_wrong_setting_of_wandb_is_named(monkeypatch):
    monkeypatch.setenv("WANDB_RESUME", "maybe")
    with pytest.raises(InputError, match=r"resume.*maybe"):
        resolve_mode("online")


def test_a_key_in_netrc_is_one(no_account, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    (no_account / ".netrc").write_text(f"machine wandb.example\n  login user\n  password {KEY}\n")
    (no_account / ".netrc").chmod(0o600)
    assert resolve_mode("online") == "online"


def test_a_logger_begins_nothing_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    assert project() == "ours"
    loggers = build_loggers(RunOptions(dir=tmp_path / "run", wandb="offline"))
    assert [type(logger) for logger in loggers] == [CSVLogger, RunLogger]
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("WANDB_PROJECT", "")
    assert project() == "lightning_mm"


def test_a_server_that_cannot_be_reached_does_not_stop_a_training(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    (tmp_path / "config.yaml").write_text("data:\n  seed: 3\n")
    (logger,) = build_loggers(RunOptions(dir=tmp_path, wandb="online"))[1:]
    with pytest.warns(UserWarning, match="the run is kept offline, 'lightning-mm publish' uploads it"):
        assert logger.experiment.config["data"] == {"seed": 3}
    logger.close()
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 1
