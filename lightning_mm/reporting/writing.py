"""Writing the files of a report."""

from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.runs import write_text_atomically


def write_report(place: Path, texts: dict[Path, str]) -> None:
    """Write files, each whole or not at all.

    Args:
        place: Where they go, for the message.
        texts: What each file holds.

    Raises:
        InputError: One cannot be written.
    """
    try:
        for path, text in texts.items():
            write_text_atomically(path, text)
    except OSError as error:
        raise InputError(f"{place}: cannot write the report there ({error.strerror})") from None
