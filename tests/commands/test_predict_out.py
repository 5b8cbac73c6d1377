"""predict --out: a row for each file of a folder, whatever the files are called and whatever stops it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.special import softmax

from commands import predict
from commands.models import batch
from commands.models.partial_table import PartialTable
from stages.store.prepared import read_test
from tests.helpers import extra_sets
from tests.helpers.exports import CELL, Run, broken, needs_onnx, pixels, stored
from tools.pocket import ROOT

NAMES = [
    "a.png",
    "b, c.png",
    'q"uote.png',
    "new\nline.png",
    "back\\slash.png",
    "ü/é.png",
    "d/e/f.png",
]
BAD_BYTES = os.fsdecode(b"latin-\xe9.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of other sizes than the net's, a hidden one, a text and a damaged one."""
    folder = tmp_path / "photos"
    for place, name in enumerate([*NAMES, BAD_BYTES, ".hidden.png"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(place + 2, 32 if place < 5 else 40)).save(folder / name, "png")
    (folder / "read me.txt").touch()
    (folder / "d/broken.png").write_bytes(b"no picture")
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def path_of(name: str) -> str:
    """As docs/use.md gets the path of a file from its name."""
    page = (ROOT / "docs/use.md").read_text()
    code = re.search(r"```python\n(import os\nimport re\n.*?)```", page, re.S)
    assert code
    names: dict[str, Any] = {}
    exec(code[1], names)
    return names["path_of"](name)


def test_rows_are_the_answers_to_single_files(
    photos: Path, here: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "made/scores.csv"
    status, text, error = run(predict, CELL, "--folder", str(photos), "--out", str(out))
    rows = read_csv(out)

    assert status == 1 and text.startswith(f"{out}: 9 rows, answered by data/{CELL}")
    assert error.splitlines()[0] == "passed over 1 files with other endings: read me.txt"
    assert error.splitlines()[1].startswith("error: d/broken.png: not a readable picture (")
    assert error.splitlines()[2:] == ["1 of 9 files could not be read"]
    assert "3 pictures were cut or resized to the net's size" in text
    assert list(rows[0]) == ["file", "class", "index", "probability", "note", "error"]
    files = [photos / path_of(row["file"]) for row in rows]
    assert files == sorted(photos / name for name in [*NAMES, BAD_BYTES, "d/broken.png"])

    for file, row in zip(files, rows, strict=True):
        (wanted,) = map(
            json.loads, run(predict, CELL, str(file), "--json", "--top", "1")[1].splitlines()
        )
        assert row["note"] == wanted.get("note", "") and row["error"] == wanted.get("error", "")
        if row["error"]:
            assert row["file"] == "d/broken.png" and row["class"] == row["probability"] == ""
            continue
        (best,) = wanted["top"]
        assert (row["class"], int(row["index"])) == (best["class"], best["index"])
        assert float(row["probability"]) == pytest.approx(best["probability"], abs=1e-6)

    assert list(out.parent.iterdir()) == [out]  # nothing under way is left


@pytest.mark.parametrize("each", ["probabilities", "logits"])
def test_parquet_has_the_numbers_of_every_class(
    each: str, here: Path, run: Run, tmp_path: Path
) -> None:
    images, labels, header = read_test(Path("data/prepared"))
    folder = extra_sets.image_folder(tmp_path / "photos", images, labels, header["classes"])
    out = tmp_path / "scores.parquet"
    words = ("--labels", str(folder), "--out", str(out), "--each", each, "--top", "3")
    status, text, error = run(predict, CELL, *words)
    table = pq.read_table(out).to_pandas()
    logits = {images[i].tobytes(): row for i, row in enumerate(stored(Path("data") / CELL))}

    # The score is the one that --labels prints alone.
    assert (status, error) == (0, "") and table.error.isna().all()
    assert text.split("\n", 1)[1] == run(predict, CELL, "--labels", str(folder))[1]
    assert table.true.tolist() == [name.split("/")[0] for name in table.file]

    for row in table.to_dict("records"):
        wanted = logits[np.array(Image.open(folder / row["file"])).tobytes()].astype(float)
        shares = softmax(wanted)
        order = np.argsort(-shares)
        found = [row[f"{each.replace('ies', 'y').rstrip('s')}:{i}"] for i in range(10)]
        np.testing.assert_allclose(found, wanted if each == "logits" else shares, atol=1e-4)
        assert [row["index"], row["index_2"], row["index_3"]] == order[:3].tolist()
        assert row["class_3"] == str(order[2])
        assert row["probability_2"] == pytest.approx(shares[order[1]], abs=1e-5)


def test_a_table_with_the_same_columns_is_replaced_and_nothing_else(
    photos: Path, here: Path, run: Run, tmp_path: Path
) -> None:
    for name in ("t.csv", "t.parquet", "T.CSV"):
        out = tmp_path / name
        words = (CELL, "--folder", str(photos), "--out", str(out))
        assert run(predict, *words)[0] == 1
        first = out.read_bytes()
        assert run(predict, *words)[0] == 1 and out.read_bytes() == first

        status, text, error = run(predict, *words, "--top", "2")
        assert status == 1 and text == "" and out.read_bytes() == first
        assert f"--out is {out}, which is there already and has other columns" in error

    other = tmp_path / "notes.csv"
    for data in (b"name,age\nx,1\n", b"", b"\xff\xfe", b"PAR1"):
        other.write_bytes(data)
        for place in (other, shutil.copyfile(other, tmp_path / "notes.parquet")):
            status, _, error = run(predict, CELL, "--folder", str(photos), "--out", str(place))
            assert status == 1 and "which is there already" in error and place.read_bytes() == data


@pytest.mark.parametrize(
    ("words", "said", "wanted"),
    [
        (["--folder", "x"], "--folder and --each need --out TABLE", 2),
        (["--out", "t.csv"], "give files to classify, or --labels", 2),
        (["x.png", "--out", "t.csv"], "--out takes --folder FOLDER or --labels FOLDER", 2),
        (["--folder", "x", "--labels", "y", "--out", "t.csv"], "give files to classify, or", 2),
        (["x.png", "--each", "logits"], "--folder and --each need --out TABLE", 2),
        (
            ["--folder", "x", "--out", "t.xlsx"],
            "--out is t.xlsx, allowed are names that end in .csv or .parquet",
            2,
        ),
        (["--folder", "none", "--out", "t.csv"], "--folder is none, allowed is a folder with", 1),
        (["--labels", "none", "--out", "t.csv"], "--labels is none, allowed is a folder with", 1),
        (
            ["--folder", "metrics", "--out", "t.csv"],
            "--folder is metrics, in which no file ends",
            1,
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    words: list[str], said: str, wanted: int, copied: Path, run: Run
) -> None:
    status, text, error = run(predict, CELL, *words)
    assert status == wanted and said in error and text == ""
    assert not list(Path().glob("t.*"))


def test_a_table_among_labelled_files_is_refused_and_among_others_passed_over(
    photos: Path, here: Path, run: Run, tmp_path: Path
) -> None:
    labelled = tmp_path / "set"
    (labelled / "3").mkdir(parents=True)
    Image.fromarray(pixels()).save(labelled / "3/a.png")
    words = ("--labels", str(labelled), "--out", str(labelled / "scores.csv"))
    status, _, error = run(predict, CELL, *words)
    assert status == 1 and "among the files of --labels" in error and len(os.listdir(labelled)) == 1

    for _ in range(2):
        words = ("--folder", str(photos), "--out", str(photos / "scores.csv"))
        error = run(predict, CELL, *words)[2]
        assert "passed over 1 files with other endings: read me.txt\n" in error


@needs_onnx
def test_nets_of_other_projects_are_refused_by_name(
    photos: Path, here: Path, run: Run, tmp_path: Path
) -> None:
    import onnx
    import torch
    from onnx import TensorProto, helper
    from safetensors.torch import save_file

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in ("x", "logits")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["logits"])], "g", *zip(ends))
    onnx.save(helper.make_model(graph, ir_version=10), tmp_path / "resnet.onnx")
    save_file({"w": torch.zeros(3)}, tmp_path / "bert.safetensors", {"format": "pt"})
    out = tmp_path / "t.csv"

    for name in ("resnet.onnx", "bert.safetensors"):
        words = (str(tmp_path / name), "--folder", str(photos), "--out", str(out))
        status, text, error = run(predict, *words)
        assert status == 1 and text == "" and len(error.splitlines()) == 1
        assert name in error and "not an export" in error
        assert not list(tmp_path.glob("t.*"))


def test_many_errors_are_counted_and_twenty_named(here: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    bad = broken(folder)
    for i in range(30):
        (folder / f"bad {i:02}.png").touch()
    (folder / "line\nfeed.png").touch()
    out = tmp_path / "t.csv"
    status, text, error = run(predict, CELL, "--folder", str(folder), "--out", str(out), "--json")
    *named, more, count = error.splitlines()

    present = sum(path.is_file() for path, _ in bad)
    assert json.loads(text)["unread"] == present + 31 and json.loads(text)["rows"] == present + 32
    assert status == 1 and len(named) == 20 and all(line.startswith("error: ") for line in named)
    assert more == f"and {present + 31 - 20} more: see the column error of {out}"
    assert count == f"{present + 31} of {present + 32} files could not be read"
    rows = {row["file"]: row["error"] for row in read_csv(out)}
    assert rows["whole.png"] == "" and rows["line\nfeed.png"].startswith("not a readable picture")
    assert all(words in rows[path.name] for path, words in bad if path.is_file())


def test_vectors_have_a_row_each(
    framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(framed)
    raw = np.load("data/raw/frames/test.npz")["inputs"][:40]
    (tmp_path / "set/deep").mkdir(parents=True)
    np.save(tmp_path / "set/all.npy", raw)
    np.save(tmp_path / "set/deep/one.npy", raw[5])
    (tmp_path / "set/deep/two.npz").write_bytes(b"PK")
    out = tmp_path / "t.parquet"
    words = ("--folder", str(tmp_path / "set"), "--out", str(out), "--each", "logits")
    status, _, error = run(predict, "exports/students/mlp1-3k", *words)
    table = pd.read_parquet(out)
    wanted = stored(Path("data/students/mlp1-3k"))

    assert status == 1 and "error: deep/two.npz: no file of numpy.save" in error
    assert table.file.tolist() == ["all.npy"] * 40 + ["deep/one.npy", "deep/two.npz"]
    assert table.row.tolist()[:41] == [*range(40), 0] and np.isnan(table.row[41])
    found = table.filter(like="logit:").to_numpy()[:41]
    np.testing.assert_allclose(found, wanted[[*range(40), 5]], atol=1e-4 * np.abs(wanted).max())


def twenty_photos(place: Path) -> Path:
    """A folder of them, one damaged."""
    folder = place / "photos"
    folder.mkdir()
    for i in range(20):
        Image.fromarray(pixels(i + 1)).save(folder / f"{i:02}.png")
    (folder / "03.png").write_bytes(b"damaged")
    return folder


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(143), OSError("no room")])
def test_what_was_computed_is_kept_when_it_is_stopped(
    stop: Any, name: str, here: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes as without a stop, and no file is read twice."""
    folder = twenty_photos(tmp_path)
    monkeypatch.setattr(batch, "GROUP", 4)
    whole = tmp_path / f"whole-{name}"
    run(predict, CELL, "--folder", str(folder), "--out", str(whole))

    out = tmp_path / name
    part = out.with_name(f"{name}.part")
    words = (CELL, "--folder", str(folder), "--out", str(out))
    append = PartialTable.append

    def stopped(table: PartialTable, rows: Any, files: int) -> None:
        if table.files == 8:
            table._file.buffer.write(b"torn")
            raise stop
        append(table, rows, files)

    with monkeypatch.context() as patch:
        patch.setattr(PartialTable, "append", stopped)
        status, text, error = run(predict, *words)
    assert not out.exists() and text == ""
    assert status == {KeyboardInterrupt: 130}.get(stop, 1 if isinstance(stop, OSError) else 143)
    if not isinstance(stop, OSError):
        said = f"rows of 8 of 20 files are in {part}: repeat the command to go on"
        assert f"stopped: {said}\n" in error

    # Another command does not take these rows for its own.
    for more, what in ((["--top", "2"], "options"), (["--fit", "pad"], "options")):
        status, _, error = run(predict, *words, *more)
        assert status == 1 and f"with another {what}: repeat that command" in error
    status, _, error = run(predict, "hard/conv2-180k", *words[1:])
    assert status == 1 and "with another net: " in error
    os.utime(folder / "19.png", (0, 0))
    assert "with another files: " in run(predict, *words)[2]


def test_a_stop_is_continued(
    here: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = twenty_photos(tmp_path)
    monkeypatch.setattr(batch, "GROUP", 4)
    for name in ("t.csv", "t.parquet"):
        whole, out = tmp_path / f"whole-{name}", tmp_path / name
        run(predict, CELL, "--folder", str(folder), "--out", str(whole))
        words = (CELL, "--folder", str(folder), "--out", str(out))
        append = PartialTable.append
        asked: list[int] = []

        def limited(
            table: PartialTable, rows: Any, files: int, limit: int = 8, append: Any = append
        ) -> None:
            if table.files == limit:
                raise KeyboardInterrupt
            append(table, rows, files)

        with monkeypatch.context() as patch:
            patch.setattr(PartialTable, "append", limited)
            run(predict, *words)
        part = out.with_name(f"{name}.part")
        part.write_bytes(part.read_bytes()[:-5])  # as a kill in the middle of a batch leaves it

        def counted(
            table: PartialTable,
            rows: Any,
            files: int,
            append: Any = append,
            asked: list[int] = asked,
        ) -> None:
            asked.append(files)
            append(table, rows, files)

        with monkeypatch.context() as patch:
            patch.setattr(PartialTable, "append", counted)
            status, _, error = run(predict, *words)
        assert status == 1 and "going on after 4 of 20 files\n" in error
        assert "error: 03.png: " in error and sum(asked) == 16
        assert out.read_bytes() == whole.read_bytes() and not part.exists()


@pytest.mark.middle
def test_a_terminated_process_leaves_rows_and_no_table(
    copied: Path, run: Run, tmp_path: Path
) -> None:
    """By a real signal, while another process asks for the same table."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(pixels()).save(folder / "0.png")
    for i in range(1, 600):
        os.link(folder / "0.png", folder / f"{i}.png")
    out, part = tmp_path / "t.csv", tmp_path / "t.csv.part"
    words = (CELL, "--folder", str(folder), "--out", str(out))

    # It waits in the second group, of which each has two batches
    code = f"""if True:
        import sys, time
        from commands import predict
        from commands.models import batch
        from stages.runtime import entry
        asked, count = batch.batch_outputs, iter(range(9))
        batch.batch_outputs = lambda *a: asked(*a) if next(count) < 3 else time.sleep(600)
        sys.argv = ["predict", *{words!r}]
        entry.run(predict.main)
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    waiting = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, env=environment, text=True
    )
    try:
        while not (part.is_file() and part.stat().st_size > 256 * len("0.png")):
            assert waiting.poll() is None
            time.sleep(0.1)
        status, _, error = run(predict, *words)
        assert status == 1 and "another process writes this table" in error
    finally:
        waiting.send_signal(signal.SIGTERM)
        error = waiting.communicate()[1]

    assert waiting.returncode == 143 and "repeat the command to go on" in error
    assert "dvc repro" not in error and part.is_file() and not out.exists()

    status, _, error = run(predict, *words)
    assert status == 0 and error.startswith("going on after ")
    assert len(read_csv(out)) == 600 and not part.exists()
