"""The page: what is on it, and what happens when something is pressed."""

import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.themes import Default

from lightning_mm.demo.drawing import between, enlargement, frame_picture, progress, refused, said
from lightning_mm.demo.example import write_example
from lightning_mm.demo.limits import Limits
from lightning_mm.demo.loading import Loaded, load
from lightning_mm.demo.magnifying import Options, magnify_loaded
from lightning_mm.demo.player import ALPHA, player
from lightning_mm.errors import InputError
from lightning_mm.measuring.figures import spectrum_figure, waveform_figure
from lightning_mm.video.regions import region
from lightning_mm.weights import SHIPPED

SUFFIXES = [".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"]
KEPT_RUNS = 8
THEME = Default(primary_hue="blue", secondary_hue="blue")

_EVERY = 0.3
_KEPT_SECONDS = 3600
_HEAD = """
<h1>lightning-mm: motion magnification</h1>
<p class="mm-note">Makes motion visible that is too small to see. Everything is computed on the machine that runs this
page; nothing is sent elsewhere, and files are deleted when it ends. Not a calibrated and not a medical device.</p>"""

T = TypeVar("T")
Updates = dict[Any, Any]


class Page:
    """The page's components and what they do.

    Args:
        limits: What is taken of a clip.
        folder: A temporary folder for what is written.
        device: Where to compute.
        weights: Weights to offer first, beside those that ship.
    """

    def __init__(self, limits: Limits, folder: Path, device: str = "auto", weights: str | None = None) -> None:
        self.limits, self.folder, self.device = limits, folder, device
        self._weights = [*([weights] if weights and weights not in SHIPPED else []), *SHIPPED]
        self._first_weights = weights or SHIPPED[0]
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        with gr.Blocks(
            title="lightning-mm demo", analytics_enabled=False, delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS)
        ) as self.blocks:
            self._lay_out()
            self._connect()
        self.blocks.queue(max_size=16)

    def _lay_out(self) -> None:
        self.loaded = gr.State(None, time_to_live=_KEPT_SECONDS)
        self.corner = gr.State(None)
        gr.HTML(_HEAD)
        gr.Markdown("### 1. Clip")
        with gr.Row(equal_height=True):
            with gr.Column(scale=3):
                self.upload = gr.File(label="Upload a clip", file_types=SUFFIXES, height=130, elem_id="upload")
            with gr.Column(scale=2):
                gr.HTML(f'<p class="mm-note">{self.limits.text}</p>')
                self.example = gr.Button("Render an example of known motion", elem_id="example")
        self.taken = gr.HTML(elem_id="taken")
        with gr.Column(visible=False) as self.second:
            gr.Markdown("### 2. What vibrates in it")
            with gr.Row():
                with gr.Column(scale=2):
                    self.picture = gr.Image(
                        show_label=False, interactive=False, type="pil", buttons=[], height=400, elem_id="picture"
                    )
                    gr.HTML(
                        '<p class="mm-note">The first frame, and the points that vibrate most. Click two corners to '
                        "choose a region instead.</p>"
                    )
                with gr.Column(scale=3):
                    self.spectrum = gr.Plot(label="Measured spectrum of these points", elem_id="spectrum")
            self.found = gr.HTML(elem_id="found")
            gr.Markdown("### 3. Magnify")
            with gr.Row():
                with gr.Column():
                    methods = [("learned", "learned"), ("linear (2012)", "linear"), ("phase (2013)", "phase"),
                               ("Riesz (2014)", "riesz")]  # fmt: skip
                    self.method = gr.Radio(methods, value="learned", label="Method")
                    self.weights = gr.Dropdown(
                        self._weights, value=self._first_weights, label="Weights", info="tiny is the fastest",
                        elem_id="weights",
                    )  # fmt: skip
                    self.alpha = gr.Slider(0, 100, 10, step=0.5, label=f"Total motion factor {ALPHA}", elem_id="alpha")
                with gr.Column():
                    modes = [("static: from the first frame", "static"), ("dynamic: from the frame before", "dynamic"),
                             ("temporal: within a band", "temporal")]  # fmt: skip
                    self.mode = gr.Radio(modes, value="temporal", label="Mode", elem_id="mode")
                    with gr.Row() as self.band:
                        self.low = gr.Number(label="Band from [Hz]", minimum=0, elem_id="low")
                        self.high = gr.Number(label="to [Hz]", minimum=0, elem_id="high")
                    with gr.Row() as self.filtering:
                        self.filter = gr.Dropdown(["fir", "butterworth", "iir"], value="fir", label="Temporal filter")
                        self.zero_phase = gr.Checkbox(True, label="FIR in step with the clip (zero phase)")
                with gr.Column():
                    self.fps = gr.Number(
                        label="True frame rate [Hz]", info="the camera's, where the file's is only for playing",
                        minimum=0, elem_id="fps",
                    )  # fmt: skip
                    self.roi = gr.Textbox(label="Region X,Y,WIDTH,HEIGHT [px]", placeholder="all", elem_id="roi")
                    self.slice = gr.Textbox(
                        label="Slice over time", placeholder="automatic, or y=ROW, x=COLUMN", elem_id="slice"
                    )
            with gr.Row():
                self.magnify = gr.Button("Magnify", variant="primary", scale=5, elem_id="magnify")
                self.stop = gr.Button("Stop", scale=1, elem_id="stop")
        self.ran = gr.HTML(elem_id="ran")
        with gr.Column(visible=False) as self.third:
            gr.Markdown("### 4. Result")
            self.player = gr.HTML(elem_id="player")
            with gr.Row():
                self.sliced = gr.Image(
                    show_label=False, interactive=False, type="pil", buttons=["download"], height=480, elem_id="sliced"
                )
                self.waveform = gr.Plot(label="Measured displacement", elem_id="waveform")
            self.download = gr.DownloadButton("Download the magnified clip", elem_id="download")

    def _connect(self) -> None:
        every: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        work: dict[str, Any] = {**every, "concurrency_id": "work", "concurrency_limit": 1}
        quick: dict[str, Any] = {**every, "queue": False}
        everything = [
            self.loaded, self.corner, self.taken, self.second, self.picture, self.spectrum, self.found, self.low,
            self.high, self.mode, self.fps, self.roi, self.slice, self.ran, self.third,
        ]  # fmt: skip
        taking = [
            self.upload.upload(self.take_upload, self.upload, everything, **work),
            self.example.click(self.take_example, None, everything, **work),
        ]
        analysed = [self.spectrum, self.found, self.low, self.high, self.picture]
        for event in (self.fps.submit, self.fps.blur):
            event(self.retime, [self.loaded, self.fps, self.roi], analysed, **quick)
        self.picture.select(
            self.pick, [self.loaded, self.corner, self.fps], [self.corner, self.roi, self.picture], **quick
        )
        for event in (self.roi.submit, self.roi.blur):
            event(self.redraw, [self.loaded, self.fps, self.roi], self.picture, **quick)
        self.method.change(lambda method: gr.Dropdown(visible=method == "learned"), self.method, self.weights, **quick)
        self.mode.change(
            lambda mode: [gr.Row(visible=mode == "temporal")] * 2, self.mode, [self.band, self.filtering], **quick
        )
        settings = [
            self.loaded, self.method, self.weights, self.alpha, self.mode, self.low, self.high, self.filter,
            self.zero_phase, self.fps, self.roi, self.slice,
        ]  # fmt: skip
        results = [self.ran, self.third, self.player, self.sliced, self.waveform, self.download]
        running = self.magnify.click(self.run, settings, results, **work)
        self.stop.click(self.stopped, None, self.ran, cancels=[running, *taking], **quick)

    def take_upload(self, path: str | None) -> Iterator[Updates]:
        """Take up a file that was uploaded."""
        if path is not None:
            yield from self._take(Path(path), "")

    def take_example(self) -> Iterator[Updates]:
        """Render the example, and take it up."""
        yield {self.taken: progress("rendering the example", 0, None), self.second: gr.skip()}
        path = self.folder / "example.mp4"
        yield from self._take(path, write_example(path))

    def _take(self, path: Path, about: str) -> Iterator[Updates]:
        hidden = gr.Column(visible=False)
        yield {self.second: hidden, self.third: hidden, self.ran: "", self.loaded: None, self.corner: None}
        try:
            loaded = yield from _told(load(path, self.limits), lambda *at: {self.taken: progress("measuring", *at)})
            rate = float(loaded.clip.fps)
            size = f"{loaded.clip.width} x {loaded.clip.height} pixels, {loaded.frames} frames at {rate:.5g} per second"
            lines = [f"{loaded.name}: {size}", *([about] if about else []), *loaded.notices]
            analysed = self._analysed(loaded, None, "")
        except InputError as error:
            yield {self.taken: refused(error)}
            return
        suggested = loaded.analysis().suggestion is not None
        yield {
            self.loaded: loaded, self.taken: said(lines), self.second: gr.Column(visible=True), **analysed,
            self.mode: "temporal" if suggested else "static", self.fps: round(rate, 4), self.roi: "", self.slice: "",
        }  # fmt: skip

    def _analysed(self, loaded: Loaded, fps: float | None, roi: str) -> Updates:
        found = loaded.analysis(fps)
        band = found.suggestion
        drawn = found.findings is not None
        return {
            self.spectrum: gr.Plot(spectrum_figure(found.findings) if found.findings else None, visible=drawn),
            self.found: said(found.lines),
            self.low: None if band is None else round(band.low, 3),
            self.high: None if band is None else round(band.high, 3),
            self.picture: self._drawn(loaded, fps, roi),
        }

    def _drawn(self, loaded: Loaded, fps: float | None, roi: str, corner: tuple[int, int] | None = None) -> Any:
        chosen = region(roi, loaded.clip.width, loaded.clip.height) if roi.strip() else None
        return frame_picture(loaded.first, loaded.analysis(fps).points, chosen, corner)

    def retime(self, loaded: Loaded | None, fps: float | None, roi: str) -> Updates:
        """Measure anew for another true frame rate."""
        if loaded is None:
            return {self.found: gr.skip()}
        try:
            return self._analysed(loaded, fps, roi)
        except InputError as error:
            return {self.found: refused(error)}

    def pick(
        self, loaded: Loaded | None, corner: tuple[int, int] | None, fps: float | None, event: gr.SelectData
    ) -> Updates:
        """Take a click on the picture for a corner of the region."""
        if loaded is None:
            return {self.corner: None}
        factor = enlargement(loaded.first)
        here = (int(event.index[0]) // factor, int(event.index[1]) // factor)
        if corner is None:
            return {self.corner: here, self.roi: "", self.picture: self._drawn(loaded, fps, "", here)}
        roi = between(corner, here, loaded.clip.width, loaded.clip.height)
        return {self.corner: None, self.roi: roi, self.picture: self._drawn(loaded, fps, roi)}

    def redraw(self, loaded: Loaded | None, fps: float | None, roi: str) -> Any:
        """Show a region that was typed."""
        try:
            return gr.skip() if loaded is None else self._drawn(loaded, fps, roi)
        except InputError:
            return gr.skip()  # said when it is to be magnified

    def run(self, loaded: Loaded | None, *settings: Any) -> Iterator[Updates]:
        """Magnify the clip."""
        if loaded is None:
            yield {self.ran: refused(InputError("no clip: upload one, or render the example"))}
            return
        method, weights, alpha, mode, low, high, kind, zero_phase, fps, roi, line = settings
        options = Options(method, weights, alpha, mode, low, high, kind, zero_phase, fps, roi, line, self.device)
        yield {self.third: gr.Column(visible=False), self.ran: progress("loading", 0, None)}
        folder = self._new_folder()
        try:
            told = magnify_loaded(loaded, options, folder)
            done = yield from _told(told, lambda *at: {self.ran: progress("magnifying", *at)})
        except InputError as error:
            yield {self.ran: refused(error)}
            return
        drawn = done.findings is not None
        yield {
            self.ran: said(done.lines), self.third: gr.Column(visible=True),
            self.player: player(done.before, done.after, done.size, alpha), self.sliced: done.slice,
            self.waveform: gr.Plot(waveform_figure(done.findings) if done.findings else None, visible=drawn),
            self.download: str(done.after),
        }  # fmt: skip

    def stopped(self) -> str:
        """Say that it was stopped."""
        return said(["stopped"])

    def _new_folder(self) -> Path:
        runs = self.folder / "runs"
        for old in sorted(runs.iterdir(), key=lambda path: path.stat().st_mtime)[: -KEPT_RUNS + 1 or None]:
            shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=runs))


def assets(name: str) -> str:
    """The text of a file that the page needs."""
    return files("lightning_mm.demo").joinpath("assets", name).read_text(encoding="utf-8")


def _told(
    work: Generator[tuple[int, int | None], None, T], show: Callable[[int, int | None], Updates]
) -> Generator[Updates, None, T]:
    """Let something work, and tell a few times a second how far it is."""
    last = -_EVERY
    try:
        while True:
            at = next(work)
            if time.monotonic() - last >= _EVERY:
                last = time.monotonic()
                yield show(*at)
    except StopIteration as stop:
        return stop.value
    finally:
        work.close()
