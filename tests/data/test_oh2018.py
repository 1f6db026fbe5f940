import hashlib
import json
import pickle
import subprocess
import sys

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from lightning_mm.data import oh2018
from lightning_mm.data.oh2018 import LAYOUTS, Oh2018Dataset, write_oh2018
from lightning_mm.errors import InputError

ROLES = ("frame_a", "frame_b", "frame_c", "target")
FOLDERS = {
    "flat": ("frameA", "frameB", "frameC", "amplified"),
    "numbered": ("2/frameA", "3/frameB", "4/frameC", "1/amplified"),
}


def samples(count, height=5, width=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        frames = torch.randint(0, 256, (4, 3, height, width), dtype=torch.uint8, generator=generator)
        yield (*frames, 1.25 + 10 * number)


@pytest.fixture(params=FOLDERS)
def layout(request):
    return request.param


@pytest.fixture
def root(tmp_path):
    """Six samples in the flat layout, for tests that break something."""
    path = tmp_path / "set"
    write_oh2018(path, samples(6))
    return path


def paths_of(root, number, layout="flat"):
    return [root / "train" / folder / f"{number:06d}.png" for folder in FOLDERS[layout]]


def message_of(call, *arguments, **keywords):
    with pytest.raises(InputError) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def construction_fails(root, split="train", val_pairs=2):
    return message_of(Oh2018Dataset, root, split, val_pairs=val_pairs)


def test_round_trip_is_exact(tmp_path, layout):
    expected = list(samples(5))
    assert write_oh2018(tmp_path / "set", iter(expected), layout) == 5
    train, val = (Oh2018Dataset(tmp_path / "set", split, val_pairs=2) for split in ("train", "val"))
    assert (len(train), len(val)) == (3, 2)
    for number, (*frames, alpha) in enumerate(expected):
        item = train[number] if number < 3 else val[number - 3]
        assert set(item) == {*ROLES, "alpha", "index"}
        for role, frame in zip(ROLES, frames, strict=True):
            assert item[role].dtype == torch.uint8
            assert torch.equal(item[role], frame), role
        assert (item["alpha"].dtype, item["alpha"].shape, item["alpha"].item()) == (torch.float32, (), alpha)
        assert (item["index"].dtype, item["index"].shape, item["index"].item()) == (torch.int64, (), number)


def test_files_lie_where_the_layout_has_them(tmp_path, layout):
    frames = list(samples(2))
    write_oh2018(tmp_path / "set", frames, layout)
    files = {path for path in (tmp_path / "set").rglob("*") if path.is_file()}
    assert files == {*paths_of(tmp_path / "set", 0, layout), *paths_of(tmp_path / "set", 1, layout)} | {
        tmp_path / "set" / "train" / "train_mf.txt"
    }
    assert (tmp_path / "set/train/train_mf.txt").read_text() == "1.25\n11.25\n"
    for path, frame in zip(paths_of(tmp_path / "set", 1, layout), frames[1][:4], strict=True):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (7, 5))
            assert image.getpixel((6, 2)) == tuple(frame[:, 2, 6].tolist())


def test_float_frames_are_rounded_to_the_nearest_level(tmp_path):
    levels = torch.arange(256, dtype=torch.float32).reshape(1, 16, 16).expand(3, -1, -1)
    exact = levels / 127.5 - 1
    shifted = [(levels + offset) / 127.5 - 1 for offset in (-0.45, 0.45, 1e-3)]
    write_oh2018(tmp_path / "set", [(exact, *shifted, 2.0), (*[exact.double() * 3] * 4, torch.tensor(3.0))])
    item = Oh2018Dataset(tmp_path / "set", "train", val_pairs=1)[0]
    for role in ROLES:
        assert torch.equal(item[role], levels.to(torch.uint8)), role
    clamped = Oh2018Dataset(tmp_path / "set", "val", val_pairs=1)[0]
    assert torch.equal(clamped["frame_a"].float(), ((exact.double() * 3).clamp(-1, 1) * 127.5 + 127.5).round().float())
    assert clamped["alpha"] == 3.0


def test_alpha_goes_by_file_number_with_gaps_and_extra_lines(root):
    for number in (0, 2, 3):
        for path in paths_of(root, number):
            path.unlink()
    lines = [f"{0.5 + k}\n" for k in range(9)]
    lines[2] = "of a file that is gone\n"
    lines[8] = "beyond the images\n"
    (root / "train/train_mf.txt").write_text("".join(lines))
    train, val = (Oh2018Dataset(root, split, val_pairs=1) for split in ("train", "val"))
    found = [(item["index"].item(), item["alpha"].item()) for item in (train[0], train[1], val[0])]
    assert found == [(1, 1.5), (4, 4.5), (5, 5.5)]
    assert torch.equal(train[1]["frame_b"], list(samples(6))[4][1])


@pytest.mark.parametrize("text", ["1\n2\n3\n4\n5\n6", "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n", " 1 \n2e0\n3.0\n+4\n5\n06\n"])
def test_ways_to_write_numbers(root, text):
    (root / "train/train_mf.txt").write_bytes(text.encode())
    dataset = Oh2018Dataset(root, val_pairs=1)
    assert [dataset[n]["alpha"].item() for n in range(5)] == [1, 2, 3, 4, 5]


def write_meta(root, content):
    (root / "train/meta").mkdir()
    for number, value in content.items():
        text = value if isinstance(value, str) else json.dumps(value)
        (root / f"train/meta/{number:06d}.json").write_text(text)


def test_meta_counts_only_without_the_file_of_factors(root):
    write_meta(root, {n: {"amplification_factor": 50.5 + n, "third_frame_motion": 1.0} for n in range(6)})
    assert Oh2018Dataset(root, val_pairs=2)[1]["alpha"] == 11.25
    (root / "train/train_mf.txt").unlink()
    assert Oh2018Dataset(root, val_pairs=2)[1]["alpha"] == 51.5
    assert Oh2018Dataset(root, "val", val_pairs=2)[1]["alpha"] == 55.5


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "not valid JSON ("),
        ([1], "has no 'amplification_factor'"),
        ({"motion": 3}, "has no 'amplification_factor'"),
        ({"amplification_factor": None}, "'None' is not a motion factor"),
        ({"amplification_factor": [3]}, "'[3]' is not a motion factor"),
    ],
)
def test_faults_of_meta(root, content, fault):
    (root / "train/train_mf.txt").unlink()
    write_meta(root, {n: {"amplification_factor": 2} for n in range(6)} | {3: {"amplification_factor": 2}})
    (root / "train/meta/000003.json").write_text(content if isinstance(content, str) else json.dumps(content))
    assert construction_fails(root).startswith(f"{root}/train/meta/000003.json: {fault}")


def test_missing_meta_file(root):
    (root / "train/train_mf.txt").unlink()
    write_meta(root, {0: {"amplification_factor": 2}})
    assert construction_fails(root).startswith(f"{root}/train/meta/000001.json: cannot be read (No such file")


def test_indices_count_like_a_sequences(root):
    dataset = Oh2018Dataset(root, val_pairs=2)
    assert dataset[-1]["index"] == 3
    with pytest.raises(IndexError):
        dataset[4]


def test_default_split_is_the_papers(root):
    assert construction_fails(root, val_pairs=5000).startswith("val_pairs 5000: ")
    assert message_of(Oh2018Dataset, root) == construction_fails(root, val_pairs=5000)


@pytest.mark.parametrize("val_pairs", [6, 7, 0, -1])
def test_val_pairs_out_of_range(root, val_pairs):
    expected = f"val_pairs {val_pairs}: must be between 1 and 5, as {root} has 6 samples"
    assert construction_fails(root, val_pairs=val_pairs) == expected


def test_unknown_split(root):
    assert construction_fails(root, split="test") == "split 'test': must be 'train', 'val' or 'search'"


def test_root_that_does_not_exist(tmp_path):
    assert construction_fails(tmp_path / "nowhere").startswith(f"{tmp_path}/nowhere: no folder 'train' in it")


def test_root_without_train(root):
    assert construction_fails(root / "train").startswith(f"{root}/train: no folder 'train' in it")


def test_no_folder_of_either_layout(tmp_path):
    (tmp_path / "train").mkdir()
    assert construction_fails(tmp_path).startswith(f"{tmp_path}/train: neither the folders frameA, ")


@pytest.mark.parametrize("role", range(4))
def test_missing_folder(tmp_path, layout, role):
    write_oh2018(tmp_path / "set", samples(3), layout)
    folder = tmp_path / "set/train" / FOLDERS[layout][role]
    folder.rename(folder.with_name("elsewhere"))
    assert (
        construction_fails(tmp_path / "set") == f"{tmp_path}/set/train: the folder {FOLDERS[layout][role]} is missing"
    )


@pytest.mark.parametrize("role", [1, 2, 3])
def test_missing_image(root, role):
    for number in (5, 3):
        paths_of(root, number)[role].unlink()
    train = root / "train"
    expected = f"{train / FOLDERS['flat'][role]}: 000003.png is missing, which {train / 'frameA'} has"
    assert construction_fails(root) == expected


def test_missing_reference_frame(root):
    paths_of(root, 2)[0].unlink()
    expected = f"{root}/train/frameA: 000002.png is missing, which {root}/train/frameB has"
    assert construction_fails(root) == expected


def test_no_images(tmp_path):
    write_oh2018(tmp_path / "set", [])
    assert construction_fails(tmp_path / "set") == f"{tmp_path}/set/train/frameA: no image in it, as 000000.png"


@pytest.mark.parametrize("name", ["1.png", "0000001.png", "frame_.png", "000001.PNG", "\u0660" * 6 + ".png"])
def test_image_of_another_name(root, name):
    (root / "train/frameC" / name).touch()
    assert construction_fails(root).startswith(f"{root}/train/frameC/{name}: not named by a number of six digits")


def test_other_files_are_passed_over(root):
    for name in (".DS_Store", "._000009.png", "notes.txt", "000009.jpg"):
        (root / "train/frameA" / name).touch()
    assert len(Oh2018Dataset(root, val_pairs=1)) == 5


def test_no_factors_at_all(root):
    (root / "train/train_mf.txt").unlink()
    message = construction_fails(root)
    assert message.startswith(f"{root}/train: neither train_mf.txt nor the folder meta in it; was an export ")


def test_too_few_lines(root):
    (root / "train/train_mf.txt").write_text("1\n2\n3\n4\n5\n")
    expected = f"{root}/train/train_mf.txt: has 5 lines, 000005.png needs line 6"
    assert construction_fails(root, split="val") == expected


@pytest.mark.parametrize("line", ["", "two", "1,5", "3 4", "nan", "inf", "-1", "\x00", "x" * 99], ids=repr)
def test_line_that_is_no_factor(root, line):
    lines = ["1", "2", line, "4", "5", "6", ""]
    (root / "train/train_mf.txt").write_text("\n".join(lines))
    expected = f"{root}/train/train_mf.txt, line 3: {line[:40]!r} is not a motion factor, a number >= 0"
    assert construction_fails(root) == expected


def test_factors_in_bytes_that_are_no_text(root):
    (root / "train/train_mf.txt").write_bytes(b"1\n\xff\xfe\n3\n4\n5\n6\n")
    assert construction_fails(root).startswith(f"{root}/train/train_mf.txt, line 2: ")


@pytest.mark.parametrize("role", range(4))
@pytest.mark.parametrize("data", [b"", b"not an image", None], ids=["empty", "text", "truncated"])
def test_unreadable_image(root, role, data):
    path = paths_of(root, 1)[role]
    path.write_bytes(path.read_bytes()[:-60] if data is None else data)
    dataset = Oh2018Dataset(root, val_pairs=2)
    assert dataset[0]["index"] == 0
    assert message_of(dataset.__getitem__, 1).startswith(f"{path}: not a readable image (")


def test_image_that_vanishes(root):
    dataset = Oh2018Dataset(root, val_pairs=2)
    paths_of(root, 1)[2].unlink()
    assert message_of(dataset.__getitem__, 1).startswith(f"{paths_of(root, 1)[2]}: not a readable image (")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_image_of_another_mode(root, mode):
    path = paths_of(root, 1)[1]
    Image.new(mode, (7, 5)).save(path)
    message = message_of(Oh2018Dataset(root, val_pairs=2).__getitem__, 1)
    assert message == f"{path}: the image is of mode {mode}, must be 8-bit RGB"


@pytest.mark.parametrize("role", [1, 2, 3])
def test_image_of_another_size(root, role):
    paths = paths_of(root, 1)
    Image.new("RGB", (5, 7)).save(paths[role])
    message = message_of(Oh2018Dataset(root, val_pairs=2).__getitem__, 1)
    assert message == f"{paths[role]}: the image is 5 x 7, but {paths[0]} is 7 x 5"


def test_split_digest_is_that_of_the_sorted_names(root):
    train, val = (Oh2018Dataset(root, split, val_pairs=2) for split in ("train", "val"))
    assert val.split_digest == hashlib.sha256(b"000004.png\n000005.png").hexdigest()[:12]
    assert train.split_digest == hashlib.sha256(b"000000.png\n000001.png\n000002.png\n000003.png").hexdigest()[:12]
    assert Oh2018Dataset(root, "val", val_pairs=3).split_digest != val.split_digest


def test_copies_in_other_processes_read_the_same(root):
    dataset = Oh2018Dataset(root, val_pairs=2)
    copy = pickle.loads(pickle.dumps(dataset))
    assert len(copy) == 4
    for name, value in dataset[3].items():
        assert torch.equal(copy[3][name], value), name


def test_items_do_not_share_the_datasets_memory(root):
    dataset = Oh2018Dataset(root, val_pairs=2)
    for value in dataset[1].values():
        value.zero_()
    assert (dataset[1]["index"].item(), dataset[1]["alpha"].item()) == (1, 11.25)


def test_batches_from_a_worker(root):
    dataset = Oh2018Dataset(root, val_pairs=2)
    batches = list(DataLoader(dataset, batch_size=2, num_workers=1))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == [0, 1, 2, 3]
    assert torch.cat([batch["alpha"] for batch in batches]).tolist() == [1.25, 11.25, 21.25, 31.25]
    expected = torch.stack([frames[3] for frames in list(samples(6))[:4]])
    assert torch.equal(torch.cat([batch["target"] for batch in batches]), expected)


def test_error_in_a_worker_keeps_its_kind_and_file(root):
    path = paths_of(root, 2)[0]
    path.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        list(DataLoader(Oh2018Dataset(root, val_pairs=2), batch_size=2, num_workers=1))
    assert str(caught.value).strip().splitlines()[-1].endswith(f"{path}: not a readable image ({reason_of(path)})")


def reason_of(path):
    try:
        Image.open(path)
    except OSError as error:
        return str(error)
    raise AssertionError("the image opens")


@pytest.mark.parametrize("name", ["file", "folder/file"])
def test_writer_refuses_a_root_that_holds_something(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_text("precious")
    root = tmp_path / name.split("/")[0]
    assert message_of(write_oh2018, root, samples(1)) == f"{root}: exists and is not an empty directory"
    assert (tmp_path / name).read_text() == "precious"


def test_writer_takes_an_empty_root(tmp_path):
    assert write_oh2018(tmp_path, samples(2)) == 2
    assert len(Oh2018Dataset(tmp_path, val_pairs=1)) == 1


def test_interrupted_export_is_recognised(tmp_path, monkeypatch):
    def interrupted():
        yield from samples(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_oh2018(tmp_path / "set", interrupted())
    assert paths_of(tmp_path / "set", 2)[3].is_file()
    paths_of(tmp_path / "set", 2)[3].unlink()  # as if stopped within a sample
    assert "interrupted?" in construction_fails(tmp_path / "set", val_pairs=1)


def test_factors_appear_only_after_every_image(tmp_path):
    def watched():
        for sample in samples(3):
            assert not list((tmp_path / "set/train").glob("*mf*"))
            yield sample

    write_oh2018(tmp_path / "set", watched())
    assert [path.name for path in (tmp_path / "set/train").iterdir() if path.is_file()] == [oh2018.FACTORS_FILE]


def black(*shape, dtype=torch.uint8):
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("sample", "fault"),
    [
        ((black(3, 4, 4),) * 3 + (black(1, 4, 4), 2.0), "sample 1, target: (1, 4, 4) torch.uint8, must be (3, H, W)"),
        ((black(1, 3, 4, 4),) * 4 + (2.0,), "sample 1, frame_a: (1, 3, 4, 4) torch.uint8, must be (3, H, W)"),
        ((black(3, 4, 4, dtype=torch.int64),) * 4 + (2.0,), "sample 1, frame_a: (3, 4, 4) torch.int64, must be"),
        (
            (black(3, 4, 4),) * 3 + (black(3, 4, 5), 2.0),
            "sample 1: frames of different sizes, 4 x 4, 4 x 4, 4 x 4, 5 x 4",
        ),
        ((black(3, 4, 4).float() / 0,) * 4 + (2.0,), "sample 1, frame_a: not finite"),
        ((black(3, 4, 4),) * 4 + (float("nan"),), "sample 1: alpha nan must be finite and not negative"),
        ((black(3, 4, 4),) * 4 + (-1.0,), "sample 1: alpha -1.0 must be finite and not negative"),
    ],
    ids=["channels", "dimensions", "dtype", "sizes", "nan", "alpha nan", "alpha negative"],
)
def test_writer_refuses_a_sample(tmp_path, sample, fault):
    assert message_of(write_oh2018, tmp_path / "set", [*samples(1), sample]).startswith(fault)
    assert not (tmp_path / "set/train/train_mf.txt").exists()


def test_writer_refuses_an_unknown_layout(tmp_path):
    message = message_of(write_oh2018, tmp_path / "set", samples(1), "tfrecord")
    assert message == "layout 'tfrecord': must be one of ('flat', 'numbered')"
    assert not (tmp_path / "set").exists()


def test_layouts_are_the_published_ones():
    assert {name: tuple(folders[role] for role in ROLES) for name, folders in LAYOUTS.items()} == FOLDERS


def test_pillow_is_loaded_only_when_images_are():
    code = f"import sys; sys.path[:] = {sys.path!r}; import lightning_mm; before = 'PIL' in sys.modules\n"
    code += "source = open(sys.argv[1]).read(); exec(compile(source, 'oh2018', 'exec'), {'__name__': 'oh2018'})\n"
    code += "print(before, 'PIL' in sys.modules)"
    command = [sys.executable, "-c", code, oh2018.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.split() == ["False", "False"], done.stderr


def numbers_of(dataset):
    return [dataset[index]["index"].item() for index in range(len(dataset))]


@pytest.mark.parametrize("val_pairs", [1, 2, 4])
@pytest.mark.parametrize("search_pairs", [0, 1, 3])
def test_the_splits_are_cut_from_the_end(root, val_pairs, search_pairs):
    if val_pairs + search_pairs > 5:
        return
    splits = ("train", "search", "val") if search_pairs else ("train", "val")
    found = {name: Oh2018Dataset(root, name, val_pairs, search_pairs) for name in splits}
    rest = 6 - val_pairs - search_pairs
    assert numbers_of(found["train"]) == list(range(rest))
    assert numbers_of(found["val"]) == list(range(6 - val_pairs, 6))
    if search_pairs:
        assert numbers_of(found["search"]) == list(range(rest, 6 - val_pairs))
        assert found["search"][0]["alpha"].item() == 1.25 + 10 * rest
    assert len({dataset.split_digest for dataset in found.values()}) == len(splits)
    assert found["val"].split_digest == Oh2018Dataset(root, "val", val_pairs).split_digest


@pytest.mark.parametrize(
    ("split", "search_pairs"), [("search", 0), ("search", 4), ("train", 4), ("val", 5), ("train", -1)]
)
def test_search_pairs_out_of_range(root, split, search_pairs):
    message = message_of(Oh2018Dataset, root, split, val_pairs=2, search_pairs=search_pairs)
    assert message == f"search_pairs {search_pairs}: must be between 1 and 3, beside 2 of 'val'"


def test_an_unknown_split_is_refused(root):
    assert message_of(Oh2018Dataset, root, "test") == "split 'test': must be 'train', 'val' or 'search'"
