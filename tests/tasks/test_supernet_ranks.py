"""Two processes that train a supernet together: the gradients and weights of one with the whole batch.

Processes are forked from one that has imported everything already.
"""

import os
import socket

import pytest
import torch

from lightning_mm.configuration import build
from lightning_mm.spaces import ChoiceSpace
from lightning_mm.tasks import SupernetTask
from lightning_mm.tasks.supernet import PROBES

STEPS = 3
SPACE = ChoiceSpace((1, 0, 1), 3, 4, stem_channels=2, tail_channels=4)
COMMON = [
    *("--model.space=lightning_mm.spaces.ChoiceSpace", "--model.space.encoder_blocks=[1,0,1]"),
    *("--model.space.decoder_blocks=3", "--model.space.decoder_channels=4", "--model.space.stem_channels=2"),
    *("--model.space.tail_channels=4", f"--model.paths.max_gflops={sum(SPACE.attainable) / 2}"),
    *("--model.initialisation=xavier", "--model.optim.lr=1e-3"),
    *("--data.size=16", f"--data.epoch_samples={STEPS * 4}", "--data.textures=4", "--data.texture_size=128"),
    *("--data.val_pairs=3", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu"),
    *("--trainer.enable_progress_bar=false", "--trainer.gradient_clip_val=1.0"),
]
ALONE = [*COMMON, "--data.batch_size=4"]
TOGETHER = [*COMMON, "--data.batch_size=2", "--trainer.devices=2"]
TOGETHER += ["--trainer.strategy=ddp_find_unused_parameters_true"]


def be_rank(args, rank, ranks, port, out):
    """Train, and write what happened."""
    error = os.open(f"{out}.err{rank}", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(error, descriptor)
    if ranks > 1:
        os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    paths, gradients, weights = [], [], []
    original = SupernetTask.configure_gradient_clipping

    def look(task, *args, **kwargs):
        store = task.supernet.store
        paths.append([list(path.values) for path in task._drawn])
        gradients.append({name: p.grad.clone() for name, p in store.items() if p.grad is not None})
        weights.append({name: p.detach().clone() for name, p in store.items()})
        original(task, *args, **kwargs)

    SupernetTask.configure_gradient_clipping = look
    cli = build(args, task=SupernetTask)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    weights.append({name: p.detach().clone() for name, p in cli.model.supernet.store.items()})
    measured = {name: float(value) for name, value in cli.trainer.callback_metrics.items() if name.startswith("val/")}
    found = {"paths": paths, "gradients": gradients, "weights": weights, "measured": measured}
    torch.save(found, f"{out}.rank{rank}")


@pytest.fixture(scope="module")
def run(fork_server, tmp_path_factory):
    """Train; returns what each rank has written."""

    def call(args, ranks):
        out = tmp_path_factory.mktemp("ranks") / "run"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        job = (ranks, port, str(out))
        given = [*args, f"--run.dir={out}"]
        children = [fork_server.fork("tasks.test_supernet_ranks", "be_rank", given, n, *job) for n in range(ranks)]
        codes = [fork_server.wait(child) for child in children]
        assert codes == [0] * ranks, [out.with_suffix(f".err{rank}").read_text() for rank in range(ranks)]
        return [torch.load(out.with_suffix(f".rank{rank}"), weights_only=True) for rank in range(ranks)]

    return call


@pytest.mark.parametrize("rule", ["capped", "sandwich"])
def test_two_processes_do_what_one_does_with_the_whole_batch(rule, run):
    distil = ["--model.paths.distil=1", "--model.paths.distil_from=0"] if rule == "sandwich" else []
    (alone,) = run([*ALONE, f"--model.paths.rule={rule}", *distil], 1)
    first, second = run([*TOGETHER, f"--model.paths.rule={rule}", *distil], 2)
    assert alone["paths"] == first["paths"] == second["paths"]
    assert [len(paths) for paths in alone["paths"]] == [4 if rule == "sandwich" else 1] * STEPS
    for step in range(STEPS):
        expected, found = alone["gradients"][step], first["gradients"][step]
        scale = max(gradient.abs().max().item() for gradient in expected.values())
        assert expected.keys() == found.keys() == second["gradients"][step].keys()
        assert len(expected) < len(alone["weights"][0]), "some candidate is not drawn"
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * scale, msg=name)
    for step in range(STEPS + 1):
        for name, value in alone["weights"][step].items():
            mine = first["weights"][step][name]
            torch.testing.assert_close(mine, value, rtol=1e-4, atol=2e-5, msg=name)
            assert torch.equal(mine, second["weights"][step][name]), "the same on both ranks"
            if step > 0 and name not in alone["gradients"][step - 1]:
                assert torch.equal(mine, first["weights"][step - 1][name]), "not drawn, not moved"
    last = alone["weights"][STEPS]
    assert any((last[name] - value).abs().max() > 1e-3 for name, value in alone["weights"][0].items())
    assert first["measured"] == pytest.approx(alone["measured"], rel=1e-4)
    assert set(alone["measured"]) == {"val/ssim", *(f"val/ssim_{name}" for name in PROBES)}
