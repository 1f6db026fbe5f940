"""Speed per frame of video: networks in turns, at one resolution after the other (Section 6.1, Appendix G).

A frame costs one encoder pass, one manipulator and one decoder in the steady state: the reference frame's shape, or in
dynamic mode the last frame's, is there already. Two encoder passes are what a pair of frames costs on its own; both are
measured. Batch 1; the frames lie on the device: reading, converting, copying and writing are not part of it.

Seconds are those that pass. On a processor the seconds that this process computes for, over all threads, are taken too:
other programs lengthen them less, so that ratios of them hold on a machine that is busy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch

from lightning_mm.benchmarking.frame_speed import ENCODES, FrameSpeed, Measured
from lightning_mm.benchmarking.resolutions import Resolution
from lightning_mm.benchmarking.turns import WARM_UP, Block, block_of, interleaved, warm_up
from lightning_mm.cost import cost
from lightning_mm.latency import ALPHA, per_frame
from lightning_mm.machine import cores, hardware, load, with_threads
from lightning_mm.models import Magnifier
from lightning_mm.timing import Summary
from lightning_mm.weights import load_magnifier

Precision = Literal["float32", "tf32", "bf16", "fp16"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@torch.inference_mode()
def measure_frames(
    sources: Sequence[str],
    resolutions: Sequence[Resolution],
    device: torch.device,
    seconds: float,
    precision: Precision = "float32",
    channels_last: bool = True,
    compile: bool = False,
    threads: int | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> FrameSpeed:
    """Measure networks in turns.

    Args:
        sources: Weights, as of ``load_magnifier``.
        resolutions: Frame sizes, fewest pixels first.
        device: Where to compute.
        seconds: Time for each network, number of encodes and resolution, beside warming up.
        precision: Of the decoder; the encoder and the manipulator always compute in exact float32.
        channels_last: Whether weights and frames lie in that memory format.
        compile: Whether to compile encoder, manipulator and decoder, anew for each resolution.
        threads: Threads of the processor; as many as torch uses by itself when left out.
        say: Told what is being done.

    Raises:
        InputError: Weights cannot be loaded.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    networks: dict[str, Magnifier] = {}
    for source in sources:
        magnifier = load_magnifier(source).to(device).to(memory_format=layout)  # pyright: ignore[reportCallIssue]
        if compile:
            for part in (magnifier.encoder, magnifier.manipulator, magnifier.decoder):
                part.compile(dynamic=False)
        networks[source] = magnifier
    results: list[Measured] = []
    left: dict[tuple[str, int], str] = {}
    with _settings(device, precision, threads):
        before = load()
        for resolution in resolutions:
            say(f"{resolution.name}: {', '.join(networks)}")
            if compile:
                torch.compiler.reset()  # of many sizes, the last would silently not be compiled
            frames = torch.rand(2, 1, 3, resolution.height, resolution.width, device=device) * 2.0 - 1.0
            pair = [frame.contiguous(memory_format=layout) for frame in frames]
            work = {
                (name, encodes): per_frame(magnifier, pair[0], pair[1], encodes)
                for encodes in ENCODES
                for name, magnifier in networks.items()
            }
            results += measure_resolution(work, resolution, device, seconds, left)
        setup = _setup(device, precision, channels_last, compile, seconds) | {
            "load_before": before,
            "load_after": load(),
        }
    known = {
        name: {
            "arch": magnifier.config.to_dict(),
            "params": cost(magnifier.config).params,
            "paper_gflops": cost(magnifier.config).paper_gflops,
        }
        for name, magnifier in networks.items()
    }
    return FrameSpeed(setup, known, results)


def measure_resolution(
    work: Mapping[tuple[str, int], Callable[[], object]],
    resolution: Resolution,
    device: torch.device,
    seconds: float,
    left: dict[tuple[str, int], str],
) -> list[Measured]:
    """Measure at one resolution whatever is fast enough for it.

    Args:
        work: One frame, by network and number of encodes, in the order of the turns.
        resolution: Size of the frames.
        device: Where the work is done.
        seconds: Time for each.
        left: Why each was left out at a smaller resolution; what is left out here is added.
    """
    blocks: dict[tuple[str, int], Block] = {}
    frames: dict[tuple[str, int], int] = {}
    for (name, encodes), one in work.items():
        fewer = left.get((name, min(ENCODES))) if encodes > min(ENCODES) else None
        if (name, encodes) not in left and fewer is None:
            count, reason = warm_up(one, device, seconds)
            if reason is None:
                frames[name, encodes] = count
                blocks[name, encodes] = block_of(one, device, count)
                continue
            left[name, encodes] = f"at {resolution.name} {reason}"
        left.setdefault((name, encodes), fewer or "")
    rounds = interleaved(blocks, seconds)
    found = []
    for key in work:
        if key not in rounds:
            found.append(Measured(*key, resolution, None, reason=left[key]))
            continue
        passed, computed = (
            Summary.of([both[clock] / frames[key] for both in rounds[key]]) for clock in ("passed", "processor")
        )
        found.append(Measured(*key, resolution, passed, computed if device.type == "cpu" else None, frames[key]))
    return found


@contextmanager
def _settings(device: torch.device, precision: Precision, threads: int | None) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    flags = cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=True,
        deterministic=cudnn.deterministic,
        allow_tf32=precision == "tf32",
    )
    dtype = _DTYPES.get(precision)
    with flags, with_threads(threads), torch.autocast(device.type, dtype, enabled=dtype is not None):
        yield


def _setup(
    device: torch.device, precision: Precision, channels_last: bool, compile: bool, seconds: float
) -> dict[str, Any]:
    cuda, cudnn = device.type == "cuda", torch.backends.cudnn
    return {
        **hardware(device),
        "cores": cores(),
        "torch": torch.__version__,
        "precision": precision,
        "channels_last": channels_last,
        "compile": compile,
        "cudnn": cudnn.version() if cuda else None,
        "cudnn_benchmark": cudnn.benchmark if cuda else None,
        "tf32": cudnn.allow_tf32 if cuda else None,
        "batch_size": 1,
        "alpha": ALPHA,
        "seconds": seconds,
        "warm_up": WARM_UP,
    }
