"""Videos and images that tests write with FFmpeg itself, independent of the package's writer."""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange

from lightning_mm.video.colour import QUALITY

LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def noise(count, height=16, width=32, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def numbered(count, height=16, width=32):
    """Frames whose grey says which they are, through any codec."""
    return [np.full((height, width, 3), 3 + 4 * (i % 60), np.uint8) for i in range(count)]


def numbers(frames):
    """Which of ``numbered`` each of some frames is."""
    return [round((frame.mean() / (1 if frame.dtype == np.uint8 else 257) - 3) / 4) for frame in frames]


def yuv_levels(rgb, matrix, full, bits=8):
    """Y', Cb, Cr by the definition in ITU-R BT.601, BT.709 and BT.2020 of RGB in 0..1, independent of swscale."""
    kr, kb = LUMA[matrix]
    r, g, b = rgb
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    top, middle, unit = 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 8)
    if full:
        levels = (top * y, middle + top * cb, middle + top * cr)
    else:
        levels = (unit * (16 + 219 * y), middle + 224 * unit * cb, middle + 224 * unit * cr)
    return [int(np.clip(round(level), 0, top)) for level in levels]


def frame_of_planes(planes, pix_fmt, size):
    """A frame of the given levels as they are: each plane an array, or one level for all of it."""
    frame = av.VideoFrame(*size, pix_fmt)
    kind = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
    for plane, levels in zip(frame.planes, planes, strict=True):
        stored = np.zeros((plane.height, plane.line_size // kind.itemsize), kind)
        stored[:, : plane.width] = levels
        plane.update(stored.tobytes())
    return frame


def write_frames(
    path, frames, fps=25, codec="libx264", matrix=2, colour_range=0, rotation=None, container_options=None, stamps=None,
    tick=None, **options,
):  # fmt: skip
    """Encode frames of FFmpeg; ``stamps`` are times in ticks other than one frame after the other."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, colour_range
        if stamps is not None:
            stream.codec_context.time_base = tick or Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index, frame in enumerate(frames):
            frame.pts = index if stamps is None else stamps[index]
            if stamps is not None:
                frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_video(path, arrays, fps=25, codec="libx264", pix_fmt="yuv444p", **options):
    """Encode uint8 RGB arrays."""
    frames = [
        av.VideoFrame.from_ndarray(array, format="rgb24").reformat(
            format=pix_fmt, interpolation=QUALITY, src_color_range=ColorRange.JPEG
        )
        for array in arrays
    ]
    return write_frames(path, frames, fps, codec, **options)


def write_planes(path, planes, matrix=2, colour_range=0, size=(32, 16), pix_fmt="yuv444p", **options):
    """Frames of constant Y, Cb, Cr, without loss and without any conversion on the way."""
    frames = [frame_of_planes(levels, pix_fmt, size) for levels in planes]
    lossless = {"crf": "0"} if options.get("codec", "libx264") == "libx264" else {}
    return write_frames(path, frames, matrix=matrix, colour_range=colour_range, **lossless, **options)
