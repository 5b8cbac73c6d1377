"""export: every format gives what the net gives, and nothing wrong is left behind."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from PIL import Image

from commands import export, predict
from commands.models import formats, programs
from commands.models.absorb import absorb
from commands.models.exported import exported_net
from commands.models.files import FILES
from stages.store.predictions import fingerprint, read_test_logits, write_test_logits
from stages.store.prepared import read_test, write_split
from stages.store.weights import load_weights, save_weights
from stages.trials.folder import TrialFolder
from tests.helpers.exports import (
    CELL,
    FORMATS,
    OUT,
    Run,
    asked,
    needs_onnx,
    pixels,
    stored,
    trained,
)
from tests.helpers.pocket import table
from tools.pocket import ROOT

PAGE = (ROOT / "docs/use.md").read_text()


@pytest.mark.parametrize("count", [1, 7, 40])
@pytest.mark.parametrize("form", FORMATS)
def test_each_format_gives_what_the_net_gives(form: str, count: int, here: Path) -> None:
    images = read_test(Path("data/prepared"))[0][:count]
    found = asked(form, here / OUT / FILES[form])(images)
    wanted = trained(Path("data") / CELL)(torch.from_numpy(images)).detach().numpy()
    assert found.shape == (count, 10) and found.dtype == np.float32

    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(
        found, stored(Path("data") / CELL)[:count], rtol=0, atol=1e-4 * np.abs(wanted).max()
    )


def test_the_bottleneck_is_absorbed_or_kept(here: Path, run: Run, tmp_path: Path) -> None:
    net = trained(Path("data") / CELL)
    inputs = torch.from_numpy(read_test(Path("data/prepared"))[0])
    state, described = load_weights(Path(OUT) / "model.safetensors")
    assert "bottleneck.weight" in net.state_dict() and "bottleneck.weight" not in state
    assert described["absorbed"] is True
    assert state["fc1.weight"].shape == absorb(net).fc1.weight.shape

    status, out, _ = run(
        export, CELL, "--format", "safetensors", "--keep-bottleneck", "--out", str(tmp_path)
    )
    assert status == 0 and "largest difference 0 on 40 test images" in out

    state, described = load_weights(tmp_path / "model.safetensors")
    kept = exported_net(described).eval()
    kept.load_state_dict(state)
    assert described["absorbed"] is False and torch.equal(kept(inputs), net(inputs))
    assert "the bottleneck is kept" in (tmp_path / "README.md").read_text()


@needs_onnx
def test_the_three_formats_carry_one_description(here: Path) -> None:
    described = load_weights(Path(OUT) / "model.safetensors")[1]
    assert described["classes"] == [str(i) for i in range(10)] and described["size_px"] == 32
    assert described["name"] == CELL and described["data"] == "cluttered digits"
    for form, read in (("pt2", programs.read_program), ("onnx", programs.read_onnx)):
        assert read((Path(OUT) / FILES[form]).read_bytes())[1] == described


@needs_onnx
def test_no_file_says_where_it_was_made(here: Path) -> None:
    for path in Path(OUT).iterdir():
        data = path.read_bytes()
        assert not [
            word for word in (str(ROOT), str(Path.home()), "site-packages") if word.encode() in data
        ], path


def test_onnx_names_its_input_and_output(here: Path) -> None:
    import onnx

    model = onnx.load(Path(OUT) / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    (given,) = model.graph.input
    (answer,) = model.graph.output
    sizes = [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim]

    assert (given.name, sizes) == ("images", ["n", 32, 32, 3]) and answer.name == "logits"


@needs_onnx
def test_the_free_axis_has_one_name_in_all_of_the_file(here: Path) -> None:
    import onnx

    model = onnx.load(Path(OUT) / "model.onnx")
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    shapes = [value.type.tensor_type.shape.dim for value in values]
    free = [dim.dim_param for shape in shapes for dim in shape if not dim.HasField("dim_value")]
    assert len(free) > 10 and set(free) == {"n"}

    for weights in model.graph.initializer:
        weights.ClearField("raw_data")
    assert not re.findall(rb"\bs\d+\b", model.SerializeToString())  # torch's own names


def test_class_names_lie_beside_the_files(copied: Path, run: Run) -> None:
    described = load_weights(Path(OUT) / "model.safetensors")[1]
    assert json.loads((Path(OUT) / "labels.json").read_text()) == described["classes"]

    # names of the user's own files
    path = Path("data/prepared/manifest.json")
    names = ["a, b", "\n", '"', "é ☃", "\0", "", "</script>", "7", "8", "9"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "classes": names}))
    status, _, error = run(export, CELL)
    assert error == "" and status == 0
    assert json.loads((Path(OUT) / "labels.json").read_bytes()) == names
    assert load_weights(Path(OUT) / "model.safetensors")[1]["classes"] == names


def test_own_class_names_in_the_folder_are_left_alone(here: Path, run: Run, tmp_path: Path) -> None:
    own = tmp_path / "labels.json"
    own.write_text("mine")
    words = ("--format", "safetensors", "--out", str(tmp_path))
    for card in (None, (Path(OUT) / "README.md").read_text().replace("labels.json", "x.json")):
        if card is not None:  # of an earlier version
            (tmp_path / "README.md").write_text(card)
        status, _, error = run(export, CELL, *words)
        assert status == 1 and "labels.json was not written by export: rename it, or" in error
        assert own.read_text() == "mine"

    own.unlink()
    assert run(export, CELL, *words)[0] == 0 and json.loads(own.read_text())
    assert run(export, CELL, *words)[0] == 0


@pytest.mark.parametrize("net", ["images", "vectors"])
def test_loaders_of_torch_models_take_the_safetensors_files(
    net: str, finished: Path, framed: Path
) -> None:
    folder = finished / OUT if net == "images" else framed / "exports/students/mlp1-3k"
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) == (1 if net == "images" else 2)
    for path in files:
        with safetensors.safe_open(path, "pt") as file:
            assert file.metadata()["format"] == "pt"
        assert safetensors.torch.load_file(path)


def blank_test_image(place: int, level: int) -> np.ndarray:
    """Make a test image of this run one of one colour; returns what its net answers to all."""
    images, labels, header = read_test(Path("data/prepared"))
    changed = images.copy()
    changed[place] = level
    write_split(Path("data/prepared"), "test", changed, labels.astype(np.uint8), header)

    path = Path("data") / CELL / "test.safetensors"
    logits = trained(Path("data") / CELL)(torch.from_numpy(changed)).detach().numpy()
    kinds = read_test_logits(path)
    before = stored(Path("data") / CELL)
    for nets in kinds.values():
        for number, found in nets.items():
            nets[number] = logits if found is before or (found == before).all() else found
    write_test_logits(path, kinds)

    csv = Path("metrics/students/conv1-60k.csv")
    csv.write_text(csv.read_text().replace(fingerprint(before), fingerprint(logits)))
    return logits


@pytest.mark.parametrize(("place", "level"), [(0, 0), (39, 255)])
def test_a_blank_test_image_stops_no_export(
    place: int, level: int, copied: Path, run: Run, tmp_path: Path
) -> None:
    wanted = blank_test_image(place, level)
    shutil.rmtree(OUT)
    status, out, error = run(export, CELL)
    assert (status, error) == (0, "") and out.count("on 40 test images") == len(FORMATS)

    images = read_test(Path("data/prepared"))[0]
    for path in Path(OUT).glob("model.*"):
        found = asked(path.suffix[1:], path)(images)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@needs_onnx
def test_a_file_that_does_not_answer_one_colour_is_not_left(
    copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(OUT)
    monkeypatch.setattr(programs, "guarded", lambda net: net)
    status, _, error = run(export, CELL)
    assert status == 1 and len(error.splitlines()) == 1
    assert "model.onnx gives " in error and "for a made-up input (one colour, 0)" in error
    assert list(Path(OUT).iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_one_line(value: float, copied: Path, run: Run) -> None:
    path = Path("data") / CELL / "weights.safetensors"
    state, header = load_weights(path)
    state["out.bias"][3] = value
    save_weights(path, state, header)
    status, _, error = run(export, CELL, "--out", "elsewhere")
    assert status == 1 and len(error.splitlines()) == 1 and not Path("elsewhere").exists()
    assert "the net gives outputs that are not finite numbers, for 40 of 40 inputs" in error


def test_no_warning_of_a_library_reaches_the_user(here: Path, tmp_path: Path) -> None:
    words = ["--format", "pt2", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "commands.export", CELL, *words]
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=there)
    assert (done.returncode, done.stderr) == (0, "")


def perturbed(net: torch.nn.Sequential) -> torch.nn.Sequential:
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.out.bias[3] += 0.1
    return other


CAPTURED = formats.captured
WRONG = {
    "weights": lambda net, example: CAPTURED(perturbed(net), example),
    "one number of inputs": lambda net, example: torch.export.export(
        net, (torch.from_numpy(example[:2]),)
    ),
}


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ("pt2", "weights"),
        pytest.param("onnx", "weights", marks=needs_onnx),
        ("pt2", "one number of inputs"),
    ],
)
def test_a_file_that_differs_is_not_left(
    form: str, wrong: str, copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in Path(OUT).iterdir()}
    monkeypatch.setattr(formats, "captured", WRONG[wrong])
    status, _, error = run(export, CELL, "--format", form)
    words = (
        "gives other outputs: largest difference"
        if wrong == "weights"
        else "does not take uint8 (1, 32, 32, 3)"
    )

    assert status == 1 and f"{FILES[form]} {words}" in error and len(error.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in Path(OUT).iterdir()} == before

    if wrong != "weights":
        assert run(export, CELL, "--format", form, "--out", "elsewhere")[0] == 1
        assert list(Path("elsewhere").iterdir()) == []


def test_weights_of_another_trial_are_refused(copied: Path, run: Run) -> None:
    rows = table(Path("metrics/students/conv1-60k.csv"))
    last = max(rows, key=lambda row: (float(row["validation_error"]), int(row["trial"])))
    (work,) = Path("work/students/conv1-60k").glob("*/")
    shutil.copyfile(
        TrialFolder(work, int(last["trial"])).weights, f"data/{CELL}/weights.safetensors"
    )
    status, _, error = run(export, CELL, "--format", "safetensors")

    assert status == 1 and "the weights are not those that the run has measured" in error


def test_tables_of_another_run_are_refused(copied: Path, run: Run) -> None:
    path = Path("metrics/students/conv1-60k.csv")
    for row in table(path):
        path.write_text(path.read_text().replace(row["test_sha256"], "0" * 64))
    status, _, error = run(export, CELL, "--format", "safetensors")
    assert status == 1 and "conv1-60k.csv are of different runs: run 'dvc checkout'" in error


def test_a_folder_of_the_user_is_left_alone(here: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    status, _, error = run(export, CELL, "--out", str(tmp_path))
    assert (
        status == 1
        and "README.md was not written by export: give another folder with --out" in error
    )
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_an_export_replaces_an_earlier_one(here: Path, run: Run, tmp_path: Path) -> None:
    shutil.copytree(OUT, tmp_path / "out")
    (tmp_path / "out/own.txt").write_text("kept")
    assert run(export, CELL, "--format", "safetensors", "--out", str(tmp_path / "out"))[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "labels.json",
        "model.safetensors",
        "own.txt",
    ]


def without(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a library were not installed."""
    real = programs.importlib.import_module

    def load(name: str) -> Any:
        if name == missing:
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name)

    monkeypatch.setattr(programs.importlib, "import_module", load)


@needs_onnx
@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_extra_is_one_line(
    missing: str, here: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(missing, monkeypatch)
    status, _, error = run(export, CELL, "--format", "all", "--out", str(tmp_path / "out"))
    assert status == 1 and f"ONNX needs {missing} " in error and "pip install '.[export]'" in error
    assert len(error.splitlines()) == 1 and not (tmp_path / "out").exists()

    status, output, _ = run(export, CELL, "--out", str(tmp_path / "out"))
    assert status == 0 and f"model.onnx is left out: ONNX needs {missing} " in output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "README.md",
        "labels.json",
        "model.pt2",
        "model.safetensors",
    ]
    assert "model.onnx" not in (tmp_path / "out/README.md").read_text()

    if missing == "onnxruntime":
        status, _, error = run(predict, f"{OUT}/model.onnx", "x.png")
        assert status == 1 and "model.onnx: ONNX needs onnxruntime" in error


@pytest.mark.parametrize(
    "cell", ["conv9-60k", "students/../../etc", "hard/conv1-60k", "ensemble/07", "teachers/x"]
)
def test_an_unknown_cell_is_refused(cell: str, here: Path, run: Run) -> None:
    status, _, error = run(export, cell)
    assert status == 1 and f"no net {cell!r} under data: there are 8, e.g. " in error
    assert re.search(r"e.g. (students|hard|ensemble|teachers)/", error)


@needs_onnx
def test_the_python_of_the_page_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    blocks = [block for block in blocks if "print(" in block]
    said = set()
    assert len(blocks) == 3

    for block in blocks:
        exec(compile(block, "docs/use.md", "exec"), {})
        said.add(capsys.readouterr().out)

    (answer,) = said
    black = trained(Path("data") / CELL)(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert answer == f"{int(black.argmax())}\n"


@needs_onnx
def test_the_commands_of_the_pages_run(
    copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fixture has written all formats.
    monkeypatch.setattr(export, "FILES", {"safetensors": "model.safetensors"})

    modules = {"commands.export": export, "commands.predict": predict}
    ran = []
    for name in ("photo.jpg", "scan.png", "cat.png"):
        Image.fromarray(pixels(3, 90)).save(name)
    Path("photos/3").mkdir(parents=True)
    shutil.copyfile("photo.jpg", "photos/3/photo.jpg")
    shutil.copytree("data/students/conv1-60k", "data/students/conv2-180k")
    for kind in ("json", "csv", "retrained.csv"):
        shutil.copyfile(f"metrics/students/conv1-60k.{kind}", f"metrics/students/conv2-180k.{kind}")
    pages = PAGE + (ROOT / "README.md").read_text()

    for line in re.findall(r"^python -m commands\.(?:export|predict) .*", pages, re.M):
        words = shlex.split(line, comments=True)
        status, out, error = run(modules[words[2]], *words[3:])
        assert status == 0 and out and not error, (line, error)
        ran.append(words[2])

    assert sorted(ran) == ["commands.export"] * 2 + ["commands.predict"] * 8
