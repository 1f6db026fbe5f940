"""The table of measured networks: exact round trips, and every way to be malformed."""

import random
from dataclasses import replace

import pytest

from lightning_mm.errors import InputError
from lightning_mm.nas.table import Measured, at_fidelity, fidelities, mean_over_seeds, read_table, write_table

ROW = Measured("ab12", "random", 2, 0, "trained", 0.1 + 0.2, 10, 1 / 3, None, 1e-17, {"width": 16, "kind": "conv3"})
DIVERGED = replace(ROW, architecture="cd34", status="diverged", ssim=None, latency_ms=2.5)
FLOATS = [0.1, 1 / 3, 5e-324, 1e-17, 0.30000000000000004, 1.0, 123456789.125, 1.7976931348623157e308]
TEXTS = [
    "conv3",
    'a "quoted", one',
    "007",
    "1.0",
    "-0",
    "nan",
    "a=b;c",
    "µm ü 速",
    "None",
    "choice.x",
    "+3",
    "1_0",
    "'",
]


def drawn(rng, number, names):
    status = rng.choice(["trained", "diverged", "infeasible"])
    choices = {name: rng.choice([rng.randrange(-9, 99), rng.choice(TEXTS)]) for name in names}
    return Measured(
        architecture=f"{rng.getrandbits(48):012x}{number}",
        arm=rng.choice(TEXTS),
        epochs=rng.randrange(3),
        seed=rng.randrange(10**12),
        status=status,
        ssim=rng.uniform(-1, 1) if status == "trained" else None,
        params=rng.randrange(10**9),
        gflops=rng.choice([0.0, *FLOATS, rng.random()]),
        latency_ms=rng.choice([None, *FLOATS]),
        seconds=rng.choice([0.0, *FLOATS, rng.expovariate(1)]),
        choices=choices,
    )


@pytest.mark.parametrize("seed", range(20))
def test_round_trip_is_exact(tmp_path, seed):
    rng = random.Random(seed)
    names = rng.sample(["width", "a, b", 'say "x"', "choice.", "ssim", "tiefe"], rng.randrange(4))
    rows = [drawn(rng, number, names) for number in range(rng.randrange(12))]
    path = tmp_path / "table.csv"
    write_table(path, rows)
    read = read_table(path)
    assert read == rows
    assert [type(v) for row in read for v in row.choices.values()] == [
        type(row.choices[name]) for row in rows for name in rows[0].choices
    ]
    text = path.read_bytes()
    write_table(path, read)
    assert path.read_bytes() == text


def test_a_spreadsheet_may_reorder_columns_and_end_lines_its_way(tmp_path):
    path = tmp_path / "table.csv"
    write_table(path, [ROW, DIVERGED])
    lines = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\ufeff" + "".join(",".join(line[::-1]) + "\r\n" for line in lines), encoding="utf-8", newline="")
    assert read_table(path) == [ROW, DIVERGED]


MALFORMED = [
    (",gflops,", ",flops,", ", line 1: column 'gflops' is missing"),
    (",choice.kind", ",kind", ", line 1, column 'kind': must be architecture,"),
    (",choice.kind", ",choice.", ", line 1, column 'choice.': must be architecture,"),
    (",choice.kind", ",choice.width", ", line 1, column 'choice.width': must be there once"),
    (",conv3\n", "\n", ", line 2: has 11 columns, must have 12"),
    (",conv3\n", ",conv3,more\n", ", line 2: has 13 columns, must have 12"),
    (",conv3\n", ",\n", ", line 2, column 'choice.kind' = '': must be printable text"),
    (",conv3\ncd34", ",conv3\n\ncd34", ", line 3: has 0 columns, must have 12"),
    ("\nab12,", "\n,", ", line 2, column 'architecture' = '': must be printable text"),
    (",random,", ", random,", ", line 2, column 'arm' = ' random': must be printable text"),
    (",2,0,", ",2.5,0,", ", line 2, column 'epochs' = '2.5': must be a whole number >= 0"),
    (",2,0,", ",2,-1,", ", line 2, column 'seed' = '-1': must be a whole number >= 0"),
    (",10,", ",ten,", ", line 2, column 'params' = 'ten': must be a whole number >= 0"),
    (",10,", ",1_0,", ", line 2, column 'params' = '1_0': must be a whole number >= 0"),
    (",trained,", ",done,", ", line 2, column 'status' = 'done': must be one of trained, diverged, infeasible"),
    (
        ",trained,",
        ",diverged,",
        ", line 2, column 'ssim' = '0.30000000000000004': must be empty where status is diverged",
    ),
    (",0.30000000000000004,", ",,", ", line 2, column 'ssim' = '': must be a number where status is trained"),
    (",0.30000000000000004,", ",nan,", ", line 2, column 'ssim' = 'nan': must be a number in [-1, 1]"),
    (",0.30000000000000004,", ",97.2,", ", line 2, column 'ssim' = '97.2': must be a number in [-1, 1]"),
    (",0.3333333333333333,", ",-1.0,", ", line 2, column 'gflops' = '-1.0': must be a finite number >= 0"),
    (",0.3333333333333333,", ",1e999,", ", line 2, column 'gflops' = '1e999': must be a finite number >= 0"),
    (",0.3333333333333333,,", ",0.3,0,", ", line 2, column 'latency_ms' = '0': must be a finite number > 0, or empty"),
    (",1e-17,", ",,", ", line 2, column 'seconds' = '': must be a finite number >= 0"),
    (
        "cd34",
        "ab12",
        ", line 3, columns architecture, epochs, seed = ('ab12', 2, 0): must be in one row, are in line 2",
    ),
    ("random", '"ran"dom', ", line 2: ',' expected after '\"'; must be CSV"),
    ("conv3\ncd34", '"conv3\ncd34', ", line 3: unexpected end of data; must be CSV"),
]


@pytest.mark.parametrize(("old", "new", "said"), MALFORMED)
def test_malformed(tmp_path, old, new, said):
    path = tmp_path / "table.csv"
    write_table(path, [ROW, DIVERGED])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}{said}")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(InputError, match=r"none.csv: No such file or directory; must be a table"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="Is a directory"):
        read_table(tmp_path)
    path = tmp_path / "table.csv"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="line 1: column 'architecture' is missing"):
        read_table(path)
    path.write_bytes(b"architecture\xff")
    with pytest.raises(InputError, match="is no UTF-8 text at byte 12"):
        read_table(path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([ROW, replace(DIVERGED, choices={"width": 8})], r"cd34 has the choices \['width'\]: must have"),
        ([ROW, DIVERGED, replace(ROW, arm="tpe")], r"\('ab12', 2, 0\): must be in one row, are in 2"),
    ],
)
def test_rows_that_make_no_table_leave_the_file_as_it_was(tmp_path, rows, said):
    path = tmp_path / "table.csv"
    write_table(path, [ROW])
    with pytest.raises(InputError, match=said):
        write_table(path, rows)
    assert read_table(path) == [ROW]


@pytest.mark.parametrize(
    "change",
    [
        *({"architecture": text} for text in ("", " a", "a\nb", "a\rb", "\x00")),
        *({name: value} for name in ("epochs", "seed", "params") for value in (-1, True, 1.0)),
        *({"ssim": value} for value in (None, 1.1, float("nan"))),
        *({"latency_ms": value} for value in (0.0, float("inf"))),
        *({"choices": {"width": value}} for value in ("3", "-3", "", True, 1.5, None)),
        {"choices": {"": 1}},
        {"status": "diverged"},
        {"gflops": -0.1},
        {"seconds": None},
    ],
)
def test_what_could_not_be_read_back_is_no_measurement(change):
    with pytest.raises(ValueError, match=f"Measured.{next(iter(change))}|Measured.ssim"):
        replace(ROW, **change)


def test_one_fidelity():
    rows = [ROW, replace(ROW, epochs=8), replace(DIVERGED, epochs=8)]
    assert fidelities(rows) == [2, 8]
    assert at_fidelity(rows, 8) == rows[1:]
    with pytest.raises(InputError, match=r"epochs = 4: must be one of \[2, 8\]"):
        at_fidelity(rows, 4)


def test_means_over_seeds():
    rows = [
        DIVERGED,
        replace(ROW, ssim=0.5, seconds=1.0),
        replace(ROW, ssim=0.7, seconds=3.0, seed=1),
        replace(ROW, ssim=None, status="diverged", seconds=2.0, seed=2),
        replace(ROW, architecture="ef56", status="infeasible", ssim=None, epochs=0),
    ]
    diverged, trained = mean_over_seeds(rows)
    assert (diverged.architecture, diverged.ssim, diverged.spread, diverged.seeds, diverged.diverged) == (
        *("cd34", None, None),
        *(0, 1),
    )
    assert (trained.ssim, trained.seconds, trained.seeds, trained.diverged) == (pytest.approx(0.6), 2.0, 2, 1)
    assert trained.spread == pytest.approx(0.02**0.5)
    assert trained.choices == ROW.choices


def test_means_of_what_does_not_belong_together():
    with pytest.raises(InputError, match=r"epochs = \[2, 8\]: rows must be of one fidelity"):
        mean_over_seeds([ROW, replace(ROW, epochs=8)])
    with pytest.raises(InputError, match="architecture ab12, seed 1: params must be one, are 10 and 11"):
        mean_over_seeds([ROW, replace(ROW, seed=1, params=11)])
