"""Offline runs of a process that was killed: their files end within a record, and W&B does not upload such files.

A file is LevelDB's log format behind a header of 7 bytes: blocks of 32 KiB with fragments of records, each behind its
checksum, length and kind. A record is one fragment or several in a row; none begins in the last 6 bytes of a block.
"""

import struct
import zlib
from pathlib import Path

_HEADER = 7
_BLOCK = 1 << 15
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def cut_torn_end(path: Path) -> int:
    """Cut what follows the last complete record off the file of an offline run that nothing writes any more.

    Args:
        path: The file, ``run-ID.wandb``.

    Returns:
        Bytes that were cut off; 0 for a file that is complete, and for one that does not begin as W&B's files do.
    """
    data = path.read_bytes()
    end = complete_until(data)
    if data[:4] != b":W&B" or end == len(data):
        return 0
    with open(path, "r+b") as file:
        file.truncate(end)
    return len(data) - end


def complete_until(data: bytes) -> int:
    """Where the last complete record of a file's content ends."""
    position = end = _HEADER
    within = False
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, position)
        fragment = data[position + _HEADER : position + _HEADER + length]
        known = kind in ((_MIDDLE, _LAST) if within else (_WHOLE, _FIRST))
        if not known or len(fragment) < length or checksum != zlib.crc32(bytes([kind]) + fragment):
            break
        position += _HEADER + length
        within = kind in (_FIRST, _MIDDLE)
        if not within:
            end = position
    return end
