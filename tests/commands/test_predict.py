"""predict: answers are the net's own, and what cannot be read is named."""

from __future__ import annotations

import json
import re
import shutil
import sys
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
from commands.models.exported import exported_net
from commands.models.files import FILES, check_description, picture_rule
from commands.models.loaded import Model
from commands.models.made_up import made_up
from commands.models.reading import inputs_of
from stages.images.pictures import Fit, PictureRule
from stages.images.sources.folder import image_folder
from stages.images.sources.parquet import parquet
from stages.settings.inputs import Inputs
from stages.store.prepared import read_test
from stages.store.tensors import read_tensors, write_tensors
from stages.store.weights import load_weights, save_weights
from tests.helpers.exports import CELL, FORMATS, OUT, Run, asked, broken, needs_onnx, pixels, stored
from tests.helpers.families import description, small_net


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
    model = Model(tmp_path, lambda inputs: inputs, described, tmp_path)
    read = inputs_of(model, [str(file) for file in files.values()])

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


def harmed(form: str, folder: Path, harm: Callable[[torch.nn.Sequential], None]) -> Path:
    """An exported file of the net after `harm`, as a user may have got it."""
    state, described = load_weights(folder / FILES["safetensors"])
    net = exported_net(described)
    net.load_state_dict(state)
    with torch.no_grad():
        harm(net)
    net.eval()

    path = Path(f"harmed/{FILES[form]}")
    path.parent.mkdir(exist_ok=True)
    shutil.copytree(folder, path.parent, dirs_exist_ok=True)
    inputs = Inputs.from_json(described)
    example = np.stack([*made_up(inputs).values()][:2])
    if form == "safetensors":
        save_weights(path, net.state_dict(), described)
    elif form == "pt2":
        path.write_bytes(programs.program_bytes(programs.captured(net, example), described))
    else:
        path.write_bytes(programs.onnx_bytes(programs.captured(net, example), described))
    return path


def bias(value: float) -> Callable[[torch.nn.Sequential], None]:
    """One output is no number, or infinite."""

    def harm(net: torch.nn.Sequential) -> None:
        net.out.bias[3] = value

    return harm


def entries_of(text: str) -> list[dict[str, Any]]:
    """JSON of each line, by the standard, which has no NaN."""

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("form", FORMATS)
def test_an_answer_that_is_not_finite_is_an_error(
    form: str, value: float, copied: Path, run: Run
) -> None:
    path = str(harmed(form, Path(OUT), bias(value)))
    Image.fromarray(pixels()).save("a.png")
    files = ["a.png", "none.png", "a.png"]
    status, out, error = run(predict, path, *files, "--trust")
    first, unread, again, *last = error.splitlines()
    assert status == 1 and out == "" and first == again
    assert first.startswith("error: a.png: the net's answer is not made of finite numbers: ")
    assert unread.startswith("error: none.png: ")
    assert last == [
        "1 of 3 files could not be read",
        "2 of 2 answers are not made of finite numbers",
    ]

    status, out, error = run(predict, path, *files, "--trust", "--json")
    entries = entries_of(out)
    assert status == 1 and [set(each) for each in entries] == [{"file", "error"}] * 3
    assert "not made of finite numbers" in entries[0]["error"]
    assert error.splitlines() == last


@pytest.mark.parametrize("form", FORMATS)
def test_one_row_without_an_answer_is_named_and_the_others_answered(
    form: str, framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(framed / "exports", tmp_path / "exports")
    monkeypatch.chdir(tmp_path)

    def harm(net: torch.nn.Sequential) -> None:  # what is far off becomes infinite in it
        net.fc1.weight[0] = 1e4
        net.out.weight[0, 0] = 1e4

    path = str(harmed(form, Path("exports/students/mlp1-3k"), harm))
    raw = np.load(framed / "data/raw/frames/test.npz")["inputs"][:4].astype(np.float64)
    raw[2] = 1e33
    np.save("rows.npy", raw)
    status, out, error = run(predict, path, "rows.npy", "--trust", "--json")
    entries = entries_of(out)
    assert status == 1 and [each["row"] for each in entries] == [0, 1, 2, 3]
    assert ["top" in each for each in entries] == [True, True, False, True]
    assert error == "1 of 4 answers are not made of finite numbers\n"

    status, out, error = run(predict, path, "rows.npy", "--trust")
    assert status == 1 and len(out.splitlines()) == 3 and "nan" not in out
    assert error.startswith("error: rows.npy row 2: the net's answer is not made of finite numbers")

    folder = Path("labelled", entries[0]["top"][0]["class"])
    folder.mkdir(parents=True)
    for name in ("a.npy", "b.npy"):
        shutil.copyfile("rows.npy", folder / name)
    status, out, error = run(predict, path, "--labels", "labelled", "--trust", "--json")
    *named, scores = entries_of(out)
    assert status == 1 and error == "2 of 8 answers are not made of finite numbers\n"
    assert [(each["file"], each["row"]) for each in named] == [
        (str(folder / "a.npy"), 2),
        (str(folder / "b.npy"), 2),
    ]
    assert (scores["count"], scores["unread"], scores["unanswered"]) == (6, 0, 2)


@needs_onnx
def test_files_of_earlier_versions_are_told_apart_by_a_blank_picture(
    copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They gave NaN; the others of the folder are scored."""
    monkeypatch.setattr(programs, "guarded", lambda net: net)
    program = programs.captured(small_net("mlp2"), np.stack([pixels(), pixels()]))
    Path("old.onnx").write_bytes(programs.onnx_bytes(program, description("mlp2")))

    folder = Path("photos/3")
    folder.mkdir(parents=True)
    Image.fromarray(pixels(3)).save(folder / "a.png")
    Image.new("RGB", (32, 32), (90, 90, 90)).save(folder / "blank.png")
    Image.fromarray(pixels(4)).save(folder / "c.png")
    for words in (["--labels", "photos"], [str(path) for path in sorted(folder.iterdir())]):
        status, out, error = run(predict, "old.onnx", *words)
        assert status == 1 and "nan" not in out + error.lower().replace("finite", "")
        first, last = error.splitlines()
        assert first.startswith("error: photos/3/blank.png: the net's answer is not made of finite")
        assert "export it again" in first
        assert last == "1 of 3 answers are not made of finite numbers"

    status, out, _ = run(predict, "old.onnx", "--labels", "photos", "--json")
    named, scores = entries_of(out)
    assert status == 1 and named["file"] == "photos/3/blank.png" and "error" in named
    assert (scores["count"], scores["unread"], scores["unanswered"]) == (2, 0, 1)
    assert scores["classes"]["3"]["count"] == 2

    # Now it is answered
    monkeypatch.undo()
    monkeypatch.chdir(copied)
    monkeypatch.setattr(sys, "argv", ["predict", f"{OUT}/model.onnx", "--labels", "photos"])
    predict.main()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("level", [0, 255])
def test_every_format_answers_a_blank_picture_as_the_net_does(
    level: int, form: str, copied: Path, run: Run
) -> None:
    folder = Path("photos/3")
    folder.mkdir(parents=True)
    Image.new("RGB", (50, 40), (level,) * 3).save(folder / "blank.png")
    model = f"{OUT}/{FILES[form]}"
    wanted = entries_of(run(predict, CELL, "photos/3/blank.png", "--json")[1])
    status, out, error = run(predict, model, "photos/3/blank.png", "--json", "--trust")
    (found,) = entries_of(out)
    assert (status, error) == (0, "") and found["file"] == wanted[0]["file"]
    for one, two in zip(found["top"], wanted[0]["top"], strict=True):
        assert one["class"] == two["class"]
        assert one["probability"] == pytest.approx(two["probability"], abs=2e-6)
    status, out, error = run(predict, model, "--labels", "photos", "--trust")
    assert (status, error) == (0, "") and "of 1 example " in out


@needs_onnx
@pytest.mark.parametrize("beside", [True, False])
def test_weights_in_other_files_are_one_sentence_that_mends(
    beside: bool, copied: Path, run: Run
) -> None:
    import onnx

    Path("parts").mkdir()
    settings = {"save_as_external_data": True, "location": "w.data", "size_threshold": 0}
    onnx.save(onnx.load(f"{OUT}/model.onnx"), "parts/model.onnx", **settings)
    if not beside:
        Path("parts/w.data").rename("w.data")  # where onnxruntime would look for it
    Image.fromarray(pixels()).save("a.png")
    status, out, error = run(predict, "parts", "a.png")
    assert status == 1 and out == "" and len(error.splitlines()) == 1
    assert error.startswith("error: parts/model.onnx: its weights are in other files (w.data)")

    # as the line says
    if beside:
        remedy = re.search(r"onnx\.save\(.*?\)(?= in Python)", error)
        assert remedy is not None
        code = remedy[0].replace("FILE", "parts/model.onnx")
        exec(code, {"onnx": onnx})
        status, out, error = run(predict, "WHOLE.onnx", "a.png")
        assert (status, error) == (0, "")
        assert out == run(predict, OUT, "a.png")[1]


@needs_onnx
@pytest.mark.parametrize("place", ["attribute", "inner graph"])
def test_weights_in_other_files_are_found_at_any_depth(place: str) -> None:
    from onnx import TensorProto, helper

    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.data")
    tensor.ClearField("float_data")
    node = helper.make_node("Constant", [], ["logits"], value=tensor)
    answer = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1])
    if place == "inner graph":
        inner = helper.make_graph([node], "inner", [], [answer])
        node = helper.make_node("If", ["c"], ["logits"], then_branch=inner, else_branch=inner)
    model = helper.make_model(helper.make_graph([node], "g", [], [answer]))
    with pytest.raises(ValueError, match=r"its weights are in other files \(w.data\)"):
        programs.read_onnx(model.SerializeToString())


@pytest.mark.parametrize(
    ("name", "value"),
    [("deviation", 0.0), ("deviation", -1.0), ("deviation", np.nan), ("mean", np.inf)],
)
def test_statistics_that_standardise_nothing_are_refused(
    name: str,
    value: float,
    framed: Path,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(framed)
    shutil.copytree("exports/students/mlp1-3k", tmp_path / "out")
    path = tmp_path / "out/statistics.safetensors"
    arrays, header = read_tensors(path)
    arrays[name][2, 3] = value
    write_tensors(path, arrays, header)
    status, out, error = run(predict, str(tmp_path / "out"), "data/raw/frames/test.npz")
    assert status == 1 and out == "" and len(error.splitlines()) == 1
    assert "statistics.safetensors has means that are not finite, or deviations that" in error


def test_exports_without_a_format_are_read_too(copied: Path, run: Run) -> None:
    """Those of earlier versions."""
    for path in (Path(OUT) / "model.safetensors", Path("plain.safetensors")):
        Image.fromarray(pixels()).save("a.png")
        if path.name == "plain.safetensors":
            save_weights(path, *load_weights(Path(OUT) / "model.safetensors"))
            assert b'"format"' not in path.read_bytes()
        status, out, error = run(predict, str(path), "a.png")
        assert (status, error) == (0, "") and out.startswith("a.png: ")
