"""predict: answers are the net's own, and what cannot be read is named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from commands import predict
from commands.models import programs
from commands.models.files import FILES, check_description, picture_rule
from stages.images.pictures import Fit, PictureRule
from stages.images.sources.folder import image_folder
from stages.images.sources.parquet import parquet
from stages.store.prepared import read_test
from tests.helpers.exports import CELL, FORMATS, OUT, Run, asked, broken, needs_onnx, pixels, stored


def shares(text: str) -> dict[str, float]:
    """Class -> percent of one printed line."""
    return {
        name: float(share)
        for name, share in re.findall(r"(\S+) ([0-9.]+) %", text.split(": ", 1)[1])
    }


@pytest.mark.parametrize("form", FORMATS)
def test_predictions_are_the_softmax_of_the_stored_outputs(
    form: str, here: Path, run: Run, tmp_path: Path
) -> None:
    images = read_test(Path("data/prepared"))[0]
    wanted = softmax(stored(Path("data") / CELL).astype(float), axis=1)
    for i in range(3):
        Image.fromarray(images[i]).save(tmp_path / f"{i}.png")
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    status, out, _ = run(
        predict, f"{OUT}/{FILES[form]}", *paths, "--json", "--top", "10", "--trust"
    )
    answers = [json.loads(line) for line in out.splitlines()]

    assert status == 0 and [answer["file"] for answer in answers] == paths

    for answer, row in zip(answers, wanted[:3], strict=True):
        found = [item["probability"] for item in answer["top"]]
        assert found == sorted(found, reverse=True) and set(answer) == {"file", "top"}
        for item in answer["top"]:
            assert item["class"] == str(item["index"])
            assert item["probability"] == pytest.approx(row[item["index"]], abs=2e-6)


def test_lines_name_file_classes_and_what_was_done(here: Path, run: Run, tmp_path: Path) -> None:
    image = Image.fromarray(read_test(Path("data/prepared"))[0][0])
    image.save(tmp_path / "right.png")
    image.resize((64, 48)).save(tmp_path / "large.jpg")
    status, out, error = run(
        predict, OUT, str(tmp_path / "right.png"), str(tmp_path / "large.jpg"), "--top", "2"
    )
    right, large = out.splitlines()

    assert status == 0 and error == "" and right.startswith(f"{tmp_path / 'right.png'}: ")
    assert len(shares(right)) == 2 and list(shares(right).values()) == sorted(
        shares(right).values(), reverse=True
    )
    assert large.endswith(
        " (64 x 48 px: the centre 48 x 48 cut out and resized to 32 x 32 (bicubic))"
    )

    status, out, _ = run(predict, "conv1-60k", str(tmp_path / "right.png"))
    assert status == 0 and len(shares(out)) == 3 and shares(out).items() >= shares(right).items()
    assert run(predict, f"data/{CELL}", str(tmp_path / "right.png"))[1] == out
    assert len(shares(run(predict, OUT, str(tmp_path / "right.png"), "--top", "99")[1])) == 10


def test_bad_files_are_named_and_the_others_classified(
    here: Path, run: Run, tmp_path: Path
) -> None:
    bad = broken(tmp_path)
    files = [
        str(tmp_path / "whole.png"),
        *(str(path) for path, _ in bad),
        str(tmp_path / "whole.png"),
    ]
    status, out, error = run(predict, OUT, *files)

    assert status == 1 and [line.split(":")[0] for line in out.splitlines()] == [
        files[0],
        files[-1],
    ]

    for (path, words), line in zip(bad, error.splitlines(), strict=False):
        assert line.startswith(f"error: {path}: ") and words in line
    assert error.splitlines()[len(bad) :] == [f"{len(bad)} of {len(files)} files could not be read"]

    status, out, _ = run(predict, OUT, *files, "--json")
    entries = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and [item["file"] for item in entries] == files
    assert ["top" in item for item in entries] == [True, *[False] * len(bad), True]
    assert all(words in item["error"] for item, (_, words) in zip(entries[1:-1], bad, strict=True))


def test_a_program_is_run_only_if_trusted(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.export, "load", lambda *args, **more: pytest.fail("it was loaded"))
    status, _, error = run(predict, f"{OUT}/model.pt2", "x.png")
    assert status == 1 and "whoever wrote it can run code here: give --trust" in error


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-30] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "harm", "words"),
    [
        ("model.safetensors", flipped, "is not an export, or damaged"),
        (
            "model.safetensors",
            lambda path: path.write_bytes(path.read_bytes()[:-99]),
            "is not an export, or damaged",
        ),
        (
            "model.safetensors",
            lambda path: shutil.copyfile(f"data/{CELL}/weights.safetensors", path),
            "is not an export",
        ),
        (
            "model.safetensors",
            lambda path: shutil.copyfile("data/prepared/test.safetensors", path),
            "is not an export",
        ),
        ("model.pt2", lambda path: path.write_bytes(b"PK"), "not a readable torch.export program"),
        pytest.param(
            "model.onnx",
            lambda path: path.write_bytes(b"\0" * 40),
            "not a readable ONNX",
            marks=needs_onnx,
        ),
        pytest.param(
            "model.onnx",
            lambda path: path.write_bytes(b""),
            "model.onnx: not a readable",
            marks=needs_onnx,
        ),
        (
            "model.txt",
            lambda path: path.touch(),
            "model.txt ends in '.txt', allowed are .safetensors, .onnx, .pt2",
        ),
        ("none.onnx", lambda path: None, "none.onnx is neither a file, a folder nor a cell"),
        (
            "folder",
            lambda path: path.mkdir(),
            "folder holds none of model.safetensors, model.onnx, model.pt2",
        ),
    ],
)
def test_what_is_no_export_is_refused(
    name: str, harm: Callable[[Path], object], words: str, here: Path, run: Run, tmp_path: Path
) -> None:
    if (Path(OUT) / name).is_file():
        shutil.copyfile(Path(OUT) / name, tmp_path / name)
    harm(tmp_path / name)
    status, out, error = run(predict, str(tmp_path / name), "x.png", "--trust")
    assert status == 1 and words in error and out == "" and len(error.splitlines()) == 1


@needs_onnx
def test_onnx_of_others_is_refused(here: Path, run: Run, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(Path(OUT) / "model.onnx")
    entry = next(entry for entry in model.metadata_props if entry.key == programs.KEY)
    for value, words in (
        ("[]", "not a mapping"),
        ("{}", "has no classes"),
        ("", "carries no description"),
    ):
        entry.value = value
        onnx.save(model, tmp_path / "model.onnx")
        status, _, error = run(predict, str(tmp_path / "model.onnx"), "x.png")
        assert status == 1 and words in error

    described = {"classes": ["a", "b"], "size_px": 32}
    entry.value = json.dumps(described)
    onnx.save(model, tmp_path / "model.onnx")
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    status, _, error = run(predict, str(tmp_path / "model.onnx"), str(tmp_path / "a.png"))

    assert status == 1 and "has 10 outputs and 2 class names" in error


def test_no_classes_at_all_are_refused(here: Path, run: Run) -> None:
    status, _, error = run(predict, OUT, "x.png", "--top", "0")
    assert status == 2 and "--top is 0, allowed is 1 or more" in error


@pytest.mark.parametrize("form", FORMATS)
def test_a_net_of_vectors(
    form: str, framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(framed)
    folder = Path("data/students/mlp1-3k")
    out = Path("exports/students/mlp1-3k")
    vectors = read_test(Path("data/prepared"))[0]
    wanted = stored(folder)
    run_file = asked(form, out / FILES[form])
    for count in (1, 7, 40):
        found = run_file(vectors[:count])
        np.testing.assert_allclose(found, wanted[:count], rtol=0, atol=1e-4 * np.abs(wanted).max())

    raw = np.load("data/raw/frames/test.npz")["inputs"][:40]
    np.save(tmp_path / "all.npy", raw)
    np.save(tmp_path / "one.npy", raw[5])
    np.savez(tmp_path / "all.npz", inputs=raw)
    command = (predict, str(out / FILES[form]), "--trust", "--json", "--top", "10")

    for name, rows in (("all.npy", range(40)), ("one.npy", [5]), ("all.npz", range(40))):
        status, text, _ = run(*command, str(tmp_path / name))
        answers = [json.loads(line) for line in text.splitlines()]
        assert status == 0 and [answer["row"] for answer in answers] == list(range(len(rows)))

        for answer, logits in zip(answers, wanted[rows], strict=True):
            row = softmax(logits.astype(float))
            assert all(
                entry["probability"] == pytest.approx(row[entry["index"]], abs=1e-5)
                for entry in answer["top"]
            )


def formats(folder: Path) -> dict[str, Path]:
    """One file of each format and mode, some with data that say how it is to be shown."""
    made = np.random.default_rng(5).integers(0, 256, (40, 36, 3), dtype=np.uint8)
    half = made.copy()
    half[:, :16] = 0
    turned = Image.Exif()
    turned[0x0112] = 6
    image = Image.fromarray(made)
    files: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb.png": (image, {}),
        "turned.jpg": (image, {"exif": turned}),
        "turned.png": (image, {"exif": turned}),
        "turned.webp": (image, {"exif": turned, "lossless": True}),
        "turned.tiff": (image, {"exif": turned}),
        "turned.avif": (image, {"exif": turned}),
        "key.png": (Image.fromarray(half), {"transparency": (0, 0, 0)}),
        "grey key.png": (Image.fromarray(half[..., 0]), {"transparency": 0}),
        "rgba.png": (Image.fromarray(np.dstack([made, made[..., 0]])), {}),
        "grey alpha.png": (Image.fromarray(np.dstack([made[..., 0], made[..., 1]])), {}),
        "palette.png": (image.quantize(16), {}),
        "palette.gif": (image.quantize(16), {"transparency": 3}),
        "bit.png": (image.convert("1"), {}),
        "deep.png": (Image.fromarray(made[..., 0].astype(np.uint16) * 255), {}),
        "deep.tiff": (Image.fromarray(made[..., 0].astype(np.uint16) * 255), {}),
        "cmyk.jpg": (image.convert("CMYK"), {}),
        "grey.pgm": (image.convert("L"), {}),
        "colour.ppm": (image, {}),
        "colour.bmp": (image, {}),
    }
    for name, (each, more) in files.items():
        each.save(folder / name, **more)
    return {name: folder / name for name in files}


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_training_and_prediction_see_the_same_pixels(fit: Fit, tmp_path: Path) -> None:
    """One file goes through a folder, a parquet file and predict."""
    tree, table, size = tmp_path / "tree", tmp_path / "table", 24
    for name in ("a", "b"):
        (tree / name).mkdir(parents=True)
    files = formats(tree / "a")
    Image.new("RGB", (size, size)).save(tree / "b/other.png")
    table.mkdir()
    rows = {"image": [file.read_bytes() for file in files.values()], "label": [*range(len(files))]}
    pq.write_table(pa.table(rows), table / "all.parquet")

    rule = PictureRule(size, fit)
    of_folder = image_folder(tree, rule).train
    of_table = parquet(table, rule).train
    described = {"classes": ["a", "b"], "size_px": size, "fit": fit}
    model = predict.Model(tmp_path, lambda inputs: inputs, described, tmp_path)
    read = predict.inputs_of(model, [str(file) for file in files.values()])

    in_folder = {image.tobytes() for image in of_folder.images}
    for place, (name, pixels_seen, said) in enumerate(read):
        assert pixels_seen is not None, said
        np.testing.assert_array_equal(pixels_seen[0], of_table.images[place], err_msg=name)
        assert pixels_seen[0].tobytes() in in_folder, name
    assert len(of_folder) == len(files) + 1


def test_pictures_become_squares_as_in_training_unless_asked(
    here: Path, run: Run, tmp_path: Path
) -> None:
    """The pocket's images are made: `exact`, so that photos become their centre square."""
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.png")
    said = {}
    for fit in (None, "pad", "stretch", "exact"):
        words = () if fit is None else ("--fit", fit)
        status, out, error = run(predict, OUT, str(tmp_path / "photo.png"), *words)
        said[fit] = out + error
        assert status == (1 if fit == "exact" else 0)
    assert "the centre 48 x 48 cut out and resized to 32 x 32" in said[None]
    assert "resized into 32 x 32, white on both sides" in said["pad"]
    assert "64 x 48 px: resized to 32 x 32 (bicubic)" in said["stretch"]
    assert "64 x 48 px, wanted 32 x 32" in said["exact"]


def test_the_rule_of_a_description_is_followed_or_refused(tmp_path: Path) -> None:
    described = {"classes": ["a", "b"], "size_px": 32}
    assert picture_rule({**described, "fit": "pad"}) == PictureRule(32, "pad")
    assert picture_rule({**described, "fit": "exact"}) == PictureRule(32, "crop")
    assert picture_rule(described) == PictureRule(32, "crop")
    assert picture_rule({**described, "fit": "pad"}, "stretch") == PictureRule(32, "stretch")
    with pytest.raises(ValueError, match="has the fit 'tile', known are exact, crop"):
        check_description(tmp_path, {**described, "fit": "tile"})
