"""Opening clips, whatever they are stored in or come from."""

import os
from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.video.clip import ACCEPTED, Clip, exact_rate
from lightning_mm.video.images import ImageFolder
from lightning_mm.video.photron import SUFFIXES, PhotronFile
from lightning_mm.video.sources import open_source
from lightning_mm.video.videofile import VideoFile


def open_clip(path: Path | str, fps: float | None = None) -> Clip:
    """Open a clip and look at its first frame.

    Args:
        path: A video file of any kind that FFmpeg decodes; a Photron ``.cih`` header beside its ``.mraw``; or a folder
            of images, in natural order of their names. As a ``str`` also ``-`` for a video piped into the program, the
            address of a stream such as ``rtsp://camera/1``, or ``webcam:0``. Only an address that is written out here
            makes anything reach for the network; a file never does.
        fps: Frame rate to use instead of the source's; a folder has none of its own and gets 25. Frames are then taken
            as they come.

    Returns:
        The clip, of at least one frame.

    Raises:
        InputError: Nothing there, no answer, no video in it, nothing decodable, images that differ in size, or a bad
            ``fps``.
    """
    rate = None if fps is None else exact_rate(fps)
    source = open_source(str(path), rate)
    if source is not None:
        return source
    path = Path(path)
    if os.path.isdir(path):  # where pathlib raises over names that are too long
        return ImageFolder(path, rate)
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file or folder; {ACCEPTED}")
    if path.suffix.lower() in SUFFIXES:
        return PhotronFile(path, rate)
    return VideoFile(path, rate)
