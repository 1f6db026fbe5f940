"""Where outputs may go: what can be written, what is in the way, and the name that it has until it is whole."""

import os
import re
import uuid
from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.video.sinks import Codec

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
LOSSLESS_SUFFIXES = (".mkv", ".mp4")
ACCEPTED = f"accepted: a file ending in {', '.join(VIDEO_SUFFIXES)}, or a name without suffix for a folder of PNGs"

_STEM = 40  # characters of the output's name in that of its temporary file, which must not become too long

_NUMBERED = re.compile(r"\d{6,}\.png")


def is_folder(output: Path) -> bool:
    """Whether an output path stands for a folder of PNGs: it has no suffix."""
    return not output.suffix


def check_output(
    output: Path,
    source: Path | str | None = None,
    overwrite: bool = False,
    codec: Codec = "h264",
    crf: int | None = None,
) -> None:
    """Find out, before any work, whether an output can be written.

    Args:
        output: Where a ``ClipWriter`` is to write.
        source: The clip that is read meanwhile.
        overwrite: Whether an existing output may be replaced.
        codec: As of the ``ClipWriter``.
        crf: As of the ``ClipWriter``.

    Raises:
        InputError: Unknown suffix, the source itself, a folder where a file should be or the reverse, a link where a
            folder should be, something there already, a folder that cannot be made or written to, a name that is too
            long, or a codec that such an output cannot have.
    """
    folder = is_folder(output)
    if not output.name:
        raise InputError(f"{output}: not the name of an output; {ACCEPTED}")
    if not folder and output.suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(f"{output}: cannot write '{output.suffix}'; {ACCEPTED}")
    _check_codec(output, codec, crf)
    _check_name(output)
    _check_other(output, source)
    if folder and output.is_symlink():
        raise InputError(f"{output}: is a link, to {os.readlink(output)}, and not a folder; name the folder itself")
    if folder and output.exists() and not output.is_dir():
        raise InputError(f"{output}: a file of this name is in the place of the output folder; {ACCEPTED}")
    if folder and output.is_dir():
        others = [entry for entry in output.iterdir() if not _NUMBERED.fullmatch(entry.name)]
        if others:
            raise InputError(f"{output}: this folder holds other files ({others[0].name}); choose another name")
        if any(output.iterdir()) and not overwrite:
            raise InputError(f"{output}: exists already; add '--overwrite true' or choose another name")
    if folder:
        _check_parent(output)
    else:
        _check_new(output, overwrite)


def _check_codec(output: Path, codec: str, crf: int | None) -> None:
    if codec not in ("h264", "ffv1"):
        raise InputError(f"codec = '{codec}': must be h264, or ffv1 for lossless video")
    if codec == "ffv1" and is_folder(output):
        raise InputError(f"{output}: codec = 'ffv1' makes a video; PNGs, as in this folder, are lossless without it")
    if codec == "ffv1" and output.suffix.lower() not in LOSSLESS_SUFFIXES:
        accepted = f"must end in {' or '.join(LOSSLESS_SUFFIXES)}"
        raise InputError(f"{output}: '{output.suffix}' cannot hold lossless video (codec = 'ffv1'); {accepted}")
    if crf is None:
        return
    if not 0 <= crf <= 51:
        raise InputError(f"crf = {crf}: must be a whole number from 0, best, to 51")
    if codec == "ffv1" or is_folder(output):
        raise InputError(f"crf = {crf}: has a meaning for H.264 video only; {output} is to be lossless")


def check_file(output: Path, source: Path | str | None, overwrite: bool, clip: Path | None = None) -> None:
    """Find out, before any work, whether a file beside a clip can be written: a picture, a page, a table.

    Args:
        output: The file to write.
        source: The clip that is read meanwhile. In a folder of images, the file might be taken for one of them later.
        overwrite: Whether a file that is there may be replaced.
        clip: The output of a ``ClipWriter`` that is written meanwhile, which replaces a folder as a whole.

    Raises:
        InputError: One of the clips itself or in the folder of one, a folder, there already, or cannot be written.
    """
    _check_name(output)
    _check_other(output, source)
    place = output.resolve()
    if source is not None and os.path.isdir(source) and place.parent == Path(source).resolve():
        raise InputError(f"{output}: is in the folder of the input, {source}; choose another folder")
    if clip is not None and place == clip.resolve():
        raise InputError(f"{output}: is the output, {clip}, as well; choose another name")
    if clip is not None and clip.resolve() in place.parents:
        raise InputError(f"{output}: is inside of the output, {clip}; choose another folder")
    _check_new(output, overwrite)


def _check_new(output: Path, overwrite: bool) -> None:
    if output.is_dir():
        raise InputError(f"{output}: is a folder; give the name of a file in it")
    if output.exists() and not overwrite:
        raise InputError(f"{output}: exists already; add '--overwrite true' or choose another name")
    _check_parent(output)


def _check_name(output: Path) -> None:
    try:
        output.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # judged by what there is above it
    except (OSError, ValueError) as error:
        raise InputError(f"{output}: not the name of an output ({getattr(error, 'strerror', None) or error})") from None


def _check_other(output: Path, source: Path | str | None) -> None:
    if source is not None and output.exists() and os.path.exists(source) and output.samefile(source):
        raise InputError(f"{output}: the output is the input itself; choose another name")


def _check_parent(output: Path) -> None:
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise InputError(f"{output}: cannot be written, {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{output}: cannot be written, no permission to write in {parent}")


def temporary_name(output: Path) -> Path:
    """A hidden name beside an output that nothing has, with its suffix; under it the output is written."""
    return output.with_name(f".{output.stem[:_STEM]}.{uuid.uuid4().hex[:12]}.tmp{output.suffix}")
