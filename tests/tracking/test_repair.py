"""What is left of a run that was killed: every complete record, and nothing behind it."""

import struct
import zlib

import pytest

from lightning_mm.tracking.repair import complete_until, cut_torn_end


@pytest.fixture
def file(study, tmp_path, offline_runs):
    """A copy of a real offline run's file."""
    offline_runs(study / "first")  # has ended
    (found,) = (study / "first").glob("wandb/offline-run-*/*.wandb")
    (tmp_path / found.name).write_bytes(found.read_bytes())
    return tmp_path / found.name


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.999])
def test_a_torn_file_keeps_its_complete_records(share, file, records):
    whole = records(file.read_bytes())
    torn = file.read_bytes()[: int(share * file.stat().st_size)]
    file.write_bytes(torn)
    kept = records(torn)
    assert 0 < len(kept) < len(whole)
    assert cut_torn_end(file) == len(torn) - file.stat().st_size
    assert records(file.read_bytes()) == kept == whole[: len(kept)]
    assert torn.startswith(file.read_bytes())
    assert complete_until(file.read_bytes()) == file.stat().st_size
    assert cut_torn_end(file) == 0


def test_a_record_over_several_blocks_is_cut_as_a_whole(file):
    data, content = file.read_bytes(), b"x" * 70_000
    end = len(data)
    while content:
        room = (1 << 15) - len(data) % (1 << 15) - 7
        part, content = content[:room], content[room:]
        kind = 2 if len(content) + len(part) == 70_000 else 3 if content else 4
        data += struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
    file.write_bytes(data)
    assert cut_torn_end(file) == 0
    file.write_bytes(data[:-1])
    assert cut_torn_end(file) == len(data) - 1 - end


def test_a_complete_file_and_one_of_another_kind_are_left_alone(file, tmp_path):
    before = file.read_bytes()
    assert cut_torn_end(file) == 0
    assert file.read_bytes() == before
    (tmp_path / "other").write_bytes(b"something else that is long enough")
    assert cut_torn_end(tmp_path / "other") == 0


def test_a_damaged_record_ends_what_is_kept(file):
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    assert complete_until(bytes(data)) <= middle < complete_until(file.read_bytes())
