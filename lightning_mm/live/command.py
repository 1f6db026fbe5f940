"""``lightning-mm live``."""

import sys
from dataclasses import dataclass
from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.inference.prepare import Backend, Precision
from lightning_mm.live.hosts import is_loopback
from lightning_mm.live.recorder import Recorder
from lightning_mm.live.server import LiveServer
from lightning_mm.live.session import Session
from lightning_mm.live.status import Latency
from lightning_mm.machine import pick_device
from lightning_mm.magnification.methods import MethodName, make_method
from lightning_mm.magnification.motions import Mode, Plan, make_plan
from lightning_mm.magnification.running import magnifying
from lightning_mm.magnification.selection import select
from lightning_mm.magnification.summary import beyond_training
from lightning_mm.signals import stop_wished
from lightning_mm.temporal.spec import Kind
from lightning_mm.terminal import warn
from lightning_mm.video.clip import Clip, exact_rate
from lightning_mm.video.excerpt import excerpt
from lightning_mm.video.opening import open_clip
from lightning_mm.video.outputs import check_output
from lightning_mm.video.regions import region


@dataclass(frozen=True)
class Lived:
    """What a live view was.

    Attributes:
        source: What was shown.
        read: Frames that the source gave.
        shown: Frames that were magnified and shown.
        dropped: Frames that were not.
        latency: From reading a frame to sending its picture; ``None`` where none was shown.
        recorded: The clip that was recorded.
    """

    source: str
    read: int
    shown: int
    dropped: int
    latency: Latency | None
    recorded: Path | None = None


def live(
    input: str,
    weights: str | None = None,
    alpha: float | None = None,
    mode: Mode | None = None,
    band: str | None = None,
    filter: Kind | None = None,
    order: int | None = None,
    taps: int | None = None,
    method: MethodName = "learned",
    fps: float | None = None,
    crop: str | None = None,
    scale: float | None = None,
    roi: str | None = None,
    side_by_side: bool = False,
    loop: bool = False,
    record: Path | None = None,
    overwrite: bool = False,
    duration: float | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    device: str = "auto",
    backend: Backend = "eager",
    precision: Precision = "float32",
) -> Lived:
    """Magnify a camera, a stream or a file while it is watched in a browser of this machine.

    Whatever the machine can't keep up with is dropped, so that the picture does not lag. The page shows how many frames
    that are, the latency, and in temporal mode for which frame rate the filter holds: it is measured first, and again
    when it changes. Ends with the source, with Ctrl-C or after --duration.

    Args:
        input: webcam:0, a stream (rtsp://... or http://...), or a video file or a folder of images, which is played at
            its own rate.
        weights: The trained network: proposed (the default), baseline or tiny, which ship, or the path of a
            .safetensors file or of a checkpoint. tiny is the fastest.
        alpha: Total motion factor to begin with, 10 when left out; the page changes it.
        mode: What a frame's motion is measured from. static (the default): the first frame, or the one at which "new
            reference" is pressed. dynamic: the frame before. temporal: only motion within a band of frequencies.
        band: LOW,HIGH in Hz, for temporal mode, which is meant where a band is given.
        filter: Kind of temporal filter: butterworth (the default), iir, or fir, which is late by half of its window.
        order: Order of a Butterworth filter, 1 when left out.
        taps: Length of a FIR in frames, odd.
        method: learned, or a classical method: linear, phase or riesz.
        fps: True frame rate in Hz of a file, where its own is only for playing (high-speed footage); bands refer to it.
        crop: X,Y,WIDTH,HEIGHT in pixels: cut the picture to this part of it.
        scale: Factor on the picture's size, behind the crop and in front of all else: smaller is faster.
        roi: X,Y,WIDTH,HEIGHT in pixels: magnify this region only; the rest of the picture stays as it is.
        side_by_side: Show the source to the left of what is magnified.
        loop: Start a file again at its end.
        record: A video (.mp4, .m4v, .mov or .mkv) to record what is shown in, from when the frame rate is known on.
        overwrite: Replace a recording that exists already.
        duration: Seconds after which it ends by itself.
        host: Address to listen on. Any other than this machine's own lets everyone who reaches it watch and control.
        port: Port to listen on; 0 for any free one.
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        backend: eager, compile, cuda_graphs or openvino; what is compiled takes a minute or two to start.
        precision: Of the decoder: float32, or half.

    Returns:
        A summary, which is also printed.

    Raises:
        InputError: An option, the source, the address or the weights are not usable.
    """
    plan = _plan(alpha, mode, band, filter, order, taps)
    if duration is not None and not duration > 0.0:
        raise InputError(f"duration = {duration:g}: must be a number of seconds above 0")
    target = pick_device(device)
    if record is not None:
        check_output(record, input, overwrite)
    with LiveServer(host, port) as server:
        clip = _source(input, fps, crop, scale, loop)
        rate = float(clip.fps if fps is None else exact_rate(fps))
        _check_band(plan, clip, rate)
        chosen = select(clip.width, clip.height, None if roi is None else region(roi, clip.width, clip.height), None)
        ready = make_method(method, weights, target, backend, precision)
        warnings = [*clip.warnings, *beyond_training(plan, ready)]
        if not is_loopback(str(server.server_address[0])):
            warnings.append(f"host = {host}: everyone who reaches this machine can watch and control")
        warn(warnings)
        session = Session(
            clip, rate, ready, plan, chosen, str(target),
            side_by_side, loop, None if record is None else Recorder(record, overwrite), warnings,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip
        known = len(session.warnings)
        print(f"{clip.name}: {plan.describe()}; open {server.url} (Ctrl-C ends)", flush=True)
        with magnifying(clip, target), stop_wished(lambda: None) as stop, server.serving(session):
            session.run(stop, duration)
    later = [*session.warnings[known:], *([clip.partial] if clip.partial else [])]
    warn(later)
    counted = session.counters
    done = Lived(
        clip.name, counted.read, counted.shown, counted.dropped, counted.latency(recent=False), session.recorded
    )
    _report(done, session)
    return done


def _plan(
    alpha: float | None, mode: Mode | None, band: str | None, filter: Kind | None, order: int | None, taps: int | None
) -> Plan:
    """As of ``magnify``, except that the usual filter is the one with little delay."""
    if mode == "temporal" or (mode is None and band is not None):
        filter = filter or ("butterworth" if taps is None else "fir")
    return make_plan(alpha, mode, filter=filter, band=band, taps=taps, order=order)


def _source(input: str, fps: float | None, crop: str | None, scale: float | None, loop: bool) -> Clip:
    whole = open_clip(input)
    if whole.live and fps is not None:
        raise InputError(f"fps = {fps:g}: is of files; the rate of {whole.name} is measured")
    if loop and (whole.live or whole.once):
        raise InputError(f"loop: {whole.name} cannot be started again; it is for files")
    part = None if crop is None else region(crop, whole.width, whole.height, "crop")
    return excerpt(whole, None, None, part, scale)


def _check_band(plan: Plan, clip: Clip, rate: float) -> None:
    """Refuse at once what no rate would make possible; of a file, whose rate is known, all that is not."""
    if plan.spec is not None:
        plan.spec.check(max(rate, 3.0 * abs(plan.spec.high)) if clip.live else rate)


def _report(done: Lived, session: Session) -> None:
    share = f" ({100.0 * done.dropped / done.read:.0f} %)" if done.read else ""
    parts = [f"{done.source}: {done.shown} frames shown, {done.dropped} dropped{share}"]
    if session.seconds > 0.0:
        parts.append(f"{done.shown / session.seconds:.1f} frames per second")
    if done.latency is not None:
        parts.append(f"latency {done.latency.median:.0f} ms in the median, {done.latency.p95:.0f} ms at 95 %")
    if done.recorded is not None:
        parts.append(f"recorded {done.recorded}")
    print("; ".join(parts))
