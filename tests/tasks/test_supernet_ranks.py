"""Two processes that train a supernet together: the gradients and weights of one with the whole batch.

Processes are forked from one that has imported everything already: this file, run as a program, is that process, and
takes a job per line of its standard input.
"""

import gc
import json
import os
import socket
import sys

import pytest
import torch
from fork_server import serving

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


def serve():
    """Run jobs: ``{"args", "ranks", "port", "out"}``."""
    torch.set_num_threads(1)
    build([*ALONE, "--model.paths.rule=capped"], task=SupernetTask).datamodule.setup("fit")
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        children = []
        for rank in range(job["ranks"]):
            children.append(os.fork())
            if children[-1] == 0:
                be_rank(job, rank)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)


def be_rank(job, rank):
    """Train, and write what happened."""
    for path, descriptor in ((os.devnull, 0), (f"{job['out']}.err{rank}", 1), (f"{job['out']}.err{rank}", 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), descriptor)
    if job["ranks"] > 1:
        os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(job["port"])}
    paths, gradients, weights = [], [], []
    original = SupernetTask.configure_gradient_clipping

    def look(task, *args, **kwargs):
        store = task.supernet.store
        paths.append([list(path.values) for path in task._drawn])
        gradients.append({name: p.grad.clone() for name, p in store.items() if p.grad is not None})
        weights.append({name: p.detach().clone() for name, p in store.items()})
        original(task, *args, **kwargs)

    SupernetTask.configure_gradient_clipping = look
    cli = build(job["args"], task=SupernetTask)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    weights.append({name: p.detach().clone() for name, p in cli.model.supernet.store.items()})
    measured = {name: float(value) for name, value in cli.trainer.callback_metrics.items() if name.startswith("val/")}
    found = {"paths": paths, "gradients": gradients, "weights": weights, "measured": measured}
    torch.save(found, f"{job['out']}.rank{rank}")
    sys.exit(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train; returns what each rank has written."""
    with serving(__file__) as process:

        def call(args, ranks):
            out = tmp_path_factory.mktemp("ranks") / "run"
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            job = {"args": [*args, f"--run.dir={out}"], "ranks": ranks, "port": port, "out": str(out)}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            codes = json.loads(process.stdout.readline())
            assert codes == [0] * ranks, [out.with_suffix(f".err{rank}").read_text() for rank in range(ranks)]
            return [torch.load(out.with_suffix(f".rank{rank}"), weights_only=True) for rank in range(ranks)]

        yield call


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


if __name__ == "__main__":
    serve()
