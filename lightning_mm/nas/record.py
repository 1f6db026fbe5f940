"""Records: what a command has found so far, as JSON in its directory."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from lightning_mm.errors import InputError
from lightning_mm.runs import write_text_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Record:
    """Base of dataclasses of plain JSON types.

    Attributes:
        FILE: Name of the file.
        COMMAND: The command that writes it, for messages.
    """

    FILE: ClassVar[str]
    COMMAND: ClassVar[str]

    def write(self: "DataclassInstance", directory: Path) -> None:
        """Write the file, whole or not at all."""
        text = json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"
        write_text_atomically(directory / self.FILE, text)  # pyright: ignore[reportAttributeAccessIssue]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the file.

        Raises:
            InputError: It is missing or no such record.
        """
        path = directory / cls.FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: no record of 'lightning-mm {cls.COMMAND}' ({error})") from None
