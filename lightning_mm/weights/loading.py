"""From a source to a magnifier: the name of weights that ship, a weights file, or a checkpoint of ``lightning-mm fit``.

The files that ship lie beside this module, with ``SHA256SUMS`` that ``sha256sum *.safetensors > SHA256SUMS`` writes and
``sha256sum -c SHA256SUMS`` checks, as every load by name does.
"""

import hashlib
from pathlib import Path

from torch import Tensor

from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights.checkpoint import checkpoint_magnifier, load_weights
from lightning_mm.weights.file import SUFFIX, read_weights

SHIPPED = ("proposed", "baseline", "tiny")
DIRECTORY = Path(__file__).parent
SUMS_FILE = "SHA256SUMS"
CHECKPOINT_SUFFIX = ".ckpt"
ACCEPTED = f"{', '.join(SHIPPED)}, or the path of a {SUFFIX} file or of a {CHECKPOINT_SUFFIX} of 'lightning-mm fit'"


def load_magnifier(source: str | Path) -> Magnifier:
    """Load a trained magnifier.

    Args:
        source: "proposed", "baseline" or "tiny", which ship with the package; or the path of a .safetensors file that
            ``write_weights`` wrote; or of a .ckpt of ``lightning-mm fit``. A text without a separator and a suffix is
            a name, whatever files there are.

    Returns:
        The magnifier in evaluation mode, float32, on the CPU. Its architecture is read from the file.

    Raises:
        InputError: No such name or file, the file is unreadable, damaged, of another program, or does not fit its own
            architecture.
    """
    arch, state = read_magnifier(source)
    magnifier = Magnifier(arch)
    load_weights(magnifier, state, str(source))
    return magnifier.eval()


def read_magnifier(source: str | Path) -> tuple[MagnifierConfig, dict[str, Tensor]]:
    """The architecture and the weights of a source; arguments and errors as of ``load_magnifier``."""
    path = locate(source)
    if is_checkpoint(path):
        return checkpoint_magnifier(path)
    weights = read_weights(path)
    return weights.arch, weights.state


def locate(source: str | Path) -> Path:
    """The file of a source. That of a name has been compared with its checksum; that of a path may be missing.

    Raises:
        InputError: No such name, a path of another kind, or a shipped file is missing or damaged.
    """
    text, path = str(source), Path(source)
    if (path.name == text and not path.suffix) or not text:
        if text not in SHIPPED:
            raise InputError(f"weights = '{text}': no weights of that name; accepted: {ACCEPTED}")
        path = DIRECTORY / f"{text}{SUFFIX}"
        _check_sum(text, path)
    elif not is_checkpoint(path) and path.suffix.lower() != SUFFIX:
        raise InputError(f"weights = '{text}': no file of weights; accepted: {ACCEPTED}")
    return path


def is_checkpoint(source: str | Path) -> bool:
    """Whether a source is the path of a checkpoint, which lies in the directory of its run."""
    return Path(source).suffix.lower() == CHECKPOINT_SUFFIX


def _check_sum(name: str, path: Path) -> None:
    remedy = "install the package again, or name a file"
    try:
        content, sums = path.read_bytes(), path.with_name(SUMS_FILE).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        missing = getattr(error, "filename", None) or path.with_name(SUMS_FILE)
        raise InputError(f"weights = '{name}': {missing} cannot be read; {remedy}") from None
    lines = (line.partition(" ") for line in sums.splitlines())
    expected = {file.lstrip(" *"): digest for digest, _, file in lines}
    if hashlib.sha256(content).hexdigest() != expected.get(path.name):
        raise InputError(f"weights = '{name}': {path} is not the file that {SUMS_FILE} lists; {remedy}")
