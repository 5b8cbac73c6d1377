"""export and predict: every format gives what the net gives, the card is true, any image file is
read or named.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import io
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from scipy.special import softmax

from commands import export, predict
from commands.models import check, programs
from commands.models import find as chosen
from commands.models.absorb import absorb
from commands.models.exported import exported_net, outline
from commands.models.files import FILES
from commands.models.licences import UNKNOWN, licence
from commands.models.pictures import read_picture
from commands.models.vectors import read_vectors
from stages import augment, ensemble, label, prepare, teachers
from stages.nets.families import Plan
from stages.nets.student import described_student
from stages.report.fidelity import calibration_error
from stages.runtime import entry
from stages.store.predictions import read_test_logits
from stages.store.prepared import read_test
from stages.store.tensors import read_tensors
from stages.store.weights import load_weights
from stages.trials.folder import TrialFolder
from tests.helpers.pocket import run_cell, table
from tests.pipeline.test_vectors import frames, write_digits
from tools.pocket import ROOT, write_params

ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
needs_onnx = pytest.mark.skipif(
    not ONNX, reason="the extra is not installed: pip install '.[export]'"
)
CELL, OUT = "students/conv1-60k", "exports/students/conv1-60k"
FORMATS = ["safetensors", "pt2", pytest.param("onnx", marks=needs_onnx)]
PAGE = (ROOT / "docs/use.md").read_text()
Run = Callable[..., tuple[int, str, str]]


def export_all(cell: str) -> None:
    """Every format that can be written here, side by side."""
    for form in ["all"] if ONNX else ["safetensors", "pt2"]:
        out = f"exports/{cell}" if ONNX else f"exports/{form}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["export", cell, "--format", form, "--out", out])
            export.main()
        if not ONNX:
            shutil.copytree(out, f"exports/{cell}", dirs_exist_ok=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pocket pipeline on images and the export of a net with a bottleneck."""
    folder = tmp_path_factory.mktemp("images")
    write_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (prepare, teachers, ensemble, augment, label):
            stage.main()
        run_cell("mimic", "conv1", "60k")
        run_cell("hard", "conv2", "180k")
        export_all(CELL)
    return folder


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pocket pipeline on vectors and the export of a net with a bottleneck."""
    folder = tmp_path_factory.mktemp("vectors")
    write_digits(folder)
    YAML().dump(frames(), folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (prepare, teachers, ensemble, augment, label):
            stage.main()
        run_cell("mimic", "mlp1", "3k")
        export_all("students/mlp1-3k")
    return folder


@pytest.fixture
def here(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In that folder, which is not changed."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a copy of it."""
    shutil.copytree(finished, tmp_path / "copied")
    monkeypatch.chdir(tmp_path / "copied")
    return tmp_path / "copied"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a door as its command line does: exit status, standard output and error."""

    def start(module: Any, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [module.__name__, *words])
        capsys.readouterr()
        status = 0
        try:
            entry.run(module.main)
        except SystemExit as stop:
            status = int(stop.code or 0)
        return (status, *capsys.readouterr())

    return start


def trained(folder: Path) -> torch.nn.Sequential:
    """The net of a cell's weights file."""
    state, header = load_weights(folder / "weights.safetensors")
    net = described_student(header).eval()
    net.load_state_dict(state)
    return net


def stored(folder: Path) -> np.ndarray:
    """What the chosen net of a cell answered to the test images when the run measured it."""
    rows = table(Path("metrics") / folder.parent.name / f"{folder.name}.csv")
    best = min(rows, key=lambda row: (float(row["validation_error"]), int(row["trial"])))
    return read_test_logits(folder / "test.safetensors")["trials"][int(best["trial"])]


def asked(form: str, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What runs a file, by nothing but the format's own library."""
    if form == "safetensors":
        state, described = load_weights(path)
        net = exported_net(described).eval()
        net.load_state_dict(state)
        return lambda inputs: net(torch.from_numpy(inputs)).detach().numpy()
    if form == "pt2":
        program = torch.export.load(path).module()
        return lambda inputs: program(torch.from_numpy(inputs)).detach().numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(["logits"], {session.get_inputs()[0].name: inputs})[0]


# export


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
    net, inputs = (
        trained(Path("data") / CELL),
        torch.from_numpy(read_test(Path("data/prepared"))[0]),
    )
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
    (given,), (answer,) = model.graph.input, model.graph.output
    sizes = [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim]
    assert (given.name, sizes) == ("images", ["n", 32, 32, 3]) and answer.name == "logits"


def perturbed(net: torch.nn.Sequential) -> torch.nn.Sequential:
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.out.bias[3] += 0.1
    return other


CAPTURED = export.captured
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
    monkeypatch.setattr(export, "captured", WRONG[wrong])
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


def test_cells_have_short_names(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen.find("conv1-60k") == chosen.find(CELL) == chosen.find(f"data/{CELL}/")
    assert set(chosen.nets()) == {
        CELL,
        "hard/conv2-180k",
        *(f"teachers/00{i}" for i in range(4)),
        "ensemble/00",
        "ensemble/01",
    }
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no finished nets under data: run 'dvc repro'"):
        chosen.find(CELL)


def test_differences_are_of_the_largest_logit() -> None:
    wanted = np.array([[100.0, -200.0], [0.0, 1.0]], np.float32)
    assert check.compare("x", wanted + np.float32(0.01), wanted) == pytest.approx(0.01, rel=0.01)
    with pytest.raises(
        ValueError, match="x gives other outputs: largest difference 0.03, allowed 0.02"
    ):
        check.compare("x", wanted + np.float32(0.03), wanted)
    for bad in (np.full((2, 2), np.nan), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="x gives"):
            check.compare("x", bad, wanted)
    for count in (1, 2, 7, 8, 9, 72, 73, 256):
        parts = [len(part) for part in check.batches(np.arange(count))]
        assert (
            sum(parts) == count
            and parts[:2] == [1, 7][: len(parts)]
            or count < 8
            and sum(parts) == count
        )


# the card


def lines_of(card: str) -> dict[str, str]:
    """First and second column of all tables of a card."""
    return dict(re.findall(r"^\| (.*?) \| (.*?) \|", card, re.M))


def test_the_card_is_true(here: Path) -> None:
    card = (Path(OUT) / "README.md").read_text()
    lines, facts = lines_of(card), json.loads(Path("metrics/students/conv1-60k.json").read_text())
    rows = table(Path("metrics/students/conv1-60k.csv"))
    best = min(rows, key=lambda row: (float(row["validation_error"]), int(row["trial"])))
    plan = Plan.from_json(load_weights(Path("data") / CELL / "weights.safetensors")[1]["plan"])
    assert card.startswith("# conv1 at 60k: a mimic net for cluttered digits\n")
    assert lines["validation accuracy"] == f"{facts['validation_accuracy']:.4f}"
    assert lines["test accuracy"] == f"{facts['test_accuracy']:.4f}"
    assert lines["parameters as trained"] == f"{int(best['params']):,}" == f"{plan.params:,}"
    absorbed = absorb(trained(Path("data") / CELL))
    here = sum(weights.numel() for weights in absorbed.parameters())
    assert lines["parameters here"] == f"{here:,}: the bottleneck is multiplied into the next layer"
    assert (
        lines["widths"]
        == f"{plan.widths[0]} {plan.widths[1]}, and {plan.dependent} that fills the budget"
    )
    assert (
        lines["layers"] == outline(absorbed)
        and f"conv1 5x5, {plan.widths[0]} filters; pool1 3x3; fc1" in card
    )
    for name in ("lr", "momentum", "input_scale", "init_scale", "C1", "C2"):
        assert float(lines[name]) == pytest.approx(float(best[name]), rel=1e-5)
    assert set(lines) & set(best) - {"widths"} == {
        "lr",
        "momentum",
        "input_scale",
        "init_scale",
        "C1",
        "C2",
    }
    assert lines["data set"].endswith(
        "(source `cluttered-digits`): 60 training, 50 validation, 40 test images"
    )
    crowd = json.loads(Path("metrics/ensemble.json").read_text())
    assert (
        "on 3 stored epochs of augmented training images to give the mean logits of an ensemble of 2 nets"
        in card
    )
    assert (
        f"{crowd['params']:,} parameters, validation accuracy {crowd['validation_accuracy']:.4f}"
        in card
    )
    chosen_by = f"Trial {best['trial']} of a search over 3 finished trials, the one of lowest validation error"
    assert chosen_by in card and f"epoch {best['best_epoch']} of {best['epochs']}" in card
    assert (
        "first is 0: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in card and licence("cluttered-digits") in card
    )
    assert "`(n, 32, 32, 3)`" in card and "`(n, 10)`" in card
    assert (
        f"torch {torch.__version__} in fp32" in card
        and f"torch {torch.__version__}" in card.splitlines()[-3]
    )
    labels = read_test(Path("data/prepared"))[1]
    error = calibration_error(softmax(stored(Path("data") / CELL), axis=1), labels)
    assert f"expected calibration error {error:.3f} on the test set" in card
    for path in Path(OUT).glob("model.*"):
        assert f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" in card


def test_cards_say_on_what_a_net_was_trained(
    copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(export, "source", lambda: {"commit": "abc123", "changed": True})
    cards = {}
    for cell in ("hard/conv2-180k", "teachers/001", "ensemble/01"):
        status, out, _ = run(
            export, cell, "--format", "safetensors", "--out", str(tmp_path / "out")
        )
        assert status == 0 and "largest difference 0 on 40 test images" in out
        cards[cell] = (tmp_path / "out/README.md").read_text()
    assert "# conv2 at 180k: a net on true labels" in cards["hard/conv2-180k"]
    assert (
        "Trained on the true labels, on 3 stored epochs of augmented training images."
        in cards["hard/conv2-180k"]
    )
    assert (
        "parameters here" not in cards["hard/conv2-180k"]
        and "ensemble" not in cards["hard/conv2-180k"]
    )
    assert ", at commit abc123, with changes." in cards["hard/conv2-180k"]
    rows, member = (
        table(Path("metrics/teachers.csv")),
        json.loads(Path("data/ensemble/manifest.json").read_text()),
    )
    second = rows[member["members"][1]]
    for cell, row in (("teachers/001", rows[1]), ("ensemble/01", second)):
        lines = lines_of(cards[cell])
        assert (
            "A teacher: trained on the true labels" in cards[cell]
            and lines["parameters as trained"].replace(",", "") == row["params"]
        )
        assert lines["validation accuracy"] == f"{1 - float(row['validation_error']):.4f}"
        assert lines["test accuracy"] == f"{float(row['test_accuracy']):.4f}"
    csv = Path("metrics/teachers.csv")
    csv.write_text(csv.read_text().replace(f",{rows[1]['test_accuracy']},", ",,"))
    assert (
        run(export, "teachers/001", "--format", "safetensors", "--out", str(tmp_path / "out"))[0]
        == 0
    )
    assert (
        lines_of((tmp_path / "out/README.md").read_text())["test accuracy"]
        == "not measured by the run"
    )


def test_cards_of_variants_and_of_the_nets_of_2014(copied: Path, run: Run, tmp_path: Path) -> None:
    listed = {
        "ablations.rows": ["conv2-weight-decay"],
        "students_2014.rows": ["snn-2014"],
        "teachers_2014.rows": ["cnn-2014"],
    }
    write_params(copied, listed)
    words = {
        "students/conv2-weight-decay": "That is the row conv2; this net is a variant of it, with "
        '`{"weight_decay": 0.0002}` instead.',
        "students/snn-2014": "A mimic net of Ba and Caruana (2014): trained on 3 stored epochs of augmented",
        "hard/cnn-2014": "Trained on the true labels, on 3 stored epochs of augmented training images.",
    }
    for name, said in words.items():
        for folder in ("data", "metrics"):
            for path in Path(folder, "students").glob("conv1-60k*"):
                target = Path(folder) / f"{name}{path.name.removeprefix('conv1')}"
                target.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
        status, _, error = run(
            export, f"{name}-60k", "--format", "safetensors", "--out", str(tmp_path / "out")
        )
        assert status == 0, error
        card = (tmp_path / "out/README.md").read_text()
        assert said in card and "Commit and machine of the training are not recorded." in card


def test_licences_are_said_or_said_to_be_unknown() -> None:
    for source in ("parquet", "image-folder", "npz"):
        assert licence(source) == UNKNOWN and "not known to this project" in UNKNOWN
    assert "names no licence" in licence("cifar10") and "non-commercial" in licence("svhn")


# pictures


def pixels(count: int = 1, size: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_a_picture_of_the_right_size_is_taken_as_it_is(tmp_path: Path) -> None:
    made = pixels()
    for name in ("a.png", "a.bmp", "a.tiff", "a.ppm"):
        Image.fromarray(made).save(tmp_path / name)
        found, done = read_picture(tmp_path / name, 32)
        np.testing.assert_array_equal(found, made)
        assert done == "" and found.flags.writeable
    Image.fromarray(made).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as image:
        np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg", 32)[0], np.array(image))


def test_the_centre_square_is_cut_out(tmp_path: Path) -> None:
    made = pixels()
    for shape, at, said in (((32, 50), (0, 9), "50 x 32"), ((41, 32), (4, 0), "32 x 41")):
        whole = np.zeros((*shape, 3), np.uint8)
        whole[at[0] : at[0] + 32, at[1] : at[1] + 32] = made
        Image.fromarray(whole).save(tmp_path / "a.png")
        found, done = read_picture(tmp_path / "a.png", 32)
        np.testing.assert_array_equal(found, made)
        assert done == f"{said} px: the centre 32 x 32 cut out"


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (100, 100), (300, 64)])
def test_other_sizes_are_resized_as_pil_does(size: tuple[int, int], tmp_path: Path) -> None:
    image = Image.fromarray(np.resize(pixels(2, 64), (size[1], size[0], 3)))
    image.save(tmp_path / "a.png")
    side, left, top = min(size), (size[0] - min(size)) // 2, (size[1] - min(size)) // 2
    square = np.array(image)[top : top + side, left : left + side]
    wanted = Image.fromarray(square).resize((32, 32), Image.Resampling.BICUBIC)
    found, done = read_picture(tmp_path / "a.png", 32)
    np.testing.assert_array_equal(found, np.array(wanted))
    assert done.startswith(f"{size[0]} x {size[1]} px: ") and done.endswith(
        "resized to 32 x 32 (bicubic)"
    )
    assert ("cut out" in done) == (size[0] != size[1])


def test_all_modes_become_rgb(tmp_path: Path) -> None:
    grey, path = pixels()[:, :, 0], tmp_path / "a.png"
    threefold = np.repeat(grey[:, :, None], 3, axis=2)

    def read(image: Image.Image, **more: Any) -> np.ndarray:
        image.save(path, **more)
        return read_picture(path, 32)[0]

    np.testing.assert_array_equal(read(Image.fromarray(grey)), threefold)
    np.testing.assert_array_equal(
        read(Image.fromarray(grey.astype(np.uint16) * 256 + 77)), threefold
    )
    np.testing.assert_array_equal(read(Image.fromarray(threefold).quantize(256)), threefold)
    black_white = Image.fromarray((grey > 127) * np.uint8(255)).convert("1")
    np.testing.assert_array_equal(read(black_white), (threefold > 127) * 255)
    alpha = np.where(grey > 100, 255, 0).astype(np.uint8)[:, :, None]
    wanted = np.where(alpha == 255, pixels(), 255)
    np.testing.assert_array_equal(
        read(Image.fromarray(np.concatenate([pixels(), alpha], axis=2))), wanted
    )
    grey_alpha = Image.fromarray(np.concatenate([threefold[:, :, :1], alpha], axis=2))
    np.testing.assert_array_equal(read(grey_alpha), np.where(alpha == 255, threefold, 255))
    path = tmp_path / "a.jpg"
    cmyk = Image.fromarray(pixels()).convert("CMYK")
    assert read(cmyk, quality=95).shape == (32, 32, 3)


def test_exif_says_how_a_picture_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 32)[0], np.rot90(pixels(), -1))


def broken(folder: Path) -> list[tuple[Path, str]]:
    """Files that are no images, and what is said of each."""
    Image.fromarray(pixels()).save(folder / "whole.png")
    data = (folder / "whole.png").read_bytes()
    (folder / "half.png").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "folder.png").mkdir()
    Image.new("1", (10_000, 9_000)).save(folder / "bomb.png")
    Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "floats.tiff")
    (folder / "eps.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n")
    unread = "not a readable image ("
    return [
        (folder / "half.png", unread),
        (folder / "empty.png", unread),
        (folder / "text.jpg", unread),
        (folder / "folder.png", "Is a directory"),
        (folder / "none.png", "No such file or directory"),
        (folder / "bomb.png", unread),
        (folder / "floats.tiff", "mode F has no known range"),
        (folder / "eps.png", unread),
    ]


def test_truncated_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    files = {
        "png": {},
        "jpeg": {"quality": 90},
        "gif": {},
        "webp": {"lossless": True},
        "tiff": {},
        "bmp": {},
    }
    for kind, options in files.items():
        data = io.BytesIO()
        Image.fromarray(pixels()).save(data, kind, **options)
        for stop in range(0, len(data.getvalue()) - 24, max(1, len(data.getvalue()) // 25)):
            path = tmp_path / f"cut.{kind}"
            path.write_bytes(data.getvalue()[:stop])
            with pytest.raises(ValueError, match="not a readable image") as caught:
                read_picture(path, 32)
            assert "\n" not in str(caught.value), kind


# predict


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
    images, wanted = (
        read_test(Path("data/prepared"))[0],
        softmax(stored(Path("data") / CELL).astype(float), axis=1),
    )
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
        ("model.safetensors", flipped, "is no export, or damaged"),
        (
            "model.safetensors",
            lambda path: path.write_bytes(path.read_bytes()[:-99]),
            "is no export, or damaged",
        ),
        (
            "model.safetensors",
            lambda path: shutil.copyfile(f"data/{CELL}/weights.safetensors", path),
            "is no export",
        ),
        (
            "model.safetensors",
            lambda path: shutil.copyfile("data/prepared/test.safetensors", path),
            "is no export",
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
        ("none.onnx", lambda path: None, "none.onnx is no file or folder, and no cell either"),
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
        ("[]", "no mapping"),
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


# vectors


@pytest.mark.parametrize("form", FORMATS)
def test_a_net_of_vectors(
    form: str, framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(framed)
    folder, out = Path("data/students/mlp1-3k"), Path("exports/students/mlp1-3k")
    vectors, wanted = read_test(Path("data/prepared"))[0], stored(folder)
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


def test_the_card_and_the_statistics_of_vectors(
    framed: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(framed)
    out = Path("exports/students/mlp1-3k")
    card = (out / "README.md").read_text()
    assert (
        "float32 `(n, 8, 8)`, **standardised**" in card
        and UNKNOWN in card
        and "augmented" not in card
    )
    again = json.loads(Path("metrics/students/mlp1-3k.json").read_text())
    assert lines_of(card)["test accuracy"] == f"{again['test_accuracy']:.4f}"
    mean = np.mean(
        [
            float(row["test_accuracy"])
            for row in table(Path("metrics/students/mlp1-3k.retrained.csv"))
        ]
    )
    assert f"from 1 other seeds gave a test accuracy of {mean:.4f} on average" in card
    held = read_tensors(out / "statistics.safetensors")[0]
    inputs = np.load("data/raw/frames/train.npz")["inputs"][:60].astype(np.float32)
    np.testing.assert_allclose(held["mean"], inputs.mean(0), atol=1e-5)
    shutil.copyfile(out / "model.safetensors", tmp_path / "model.safetensors")
    status, _, error = run(predict, str(tmp_path), "data/raw/frames/test.npz")
    assert status == 1 and "statistics.safetensors not found" in error


def test_bad_vectors_are_refused_in_one_line(tmp_path: Path) -> None:
    good, mean = np.ones((3, 2, 2)), np.zeros((2, 2))
    np.save(tmp_path / "good.npy", good)
    np.savez(tmp_path / "good.npz", inputs=good)
    np.testing.assert_array_equal(
        read_vectors(tmp_path / "good.npz", (2, 2), mean, mean + 4), good / 4
    )
    bad = {
        "shape": np.ones((3, 4)),
        "none": np.ones((0, 2, 2)),
        "large": np.full((3, 2, 2), 1e39),
        "nan": np.where(np.arange(12).reshape(3, 2, 2) == 6, np.nan, 1),
        "text": np.full((3, 2, 2), "a"),
        "object": np.full((3, 2, 2), {}),
    }
    words = {
        "shape": r"an array of shape \(3, 4\), the net takes \(n, 2, 2\)",
        "none": "shape",
        "nan": "row 1 holds",
        "text": "its numbers are <U1",
        "object": "no file of numpy",
        "large": "row 0 holds",
    }
    for name, array in bad.items():
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        np.savez(tmp_path / "a.npz", inputs=array)
        for path in ("a.npy", "a.npz"):
            with pytest.raises(ValueError, match=words[name]) as caught:
                read_vectors(tmp_path / path, (2, 2), mean, mean + 1)
            assert "\n" not in str(caught.value)
    np.savez(tmp_path / "a.npz", other=good)
    with pytest.raises(ValueError, match="it has no array 'inputs', but other"):
        read_vectors(tmp_path / "a.npz", (2, 2), mean, mean + 1)
    for name in ("good.npy", "good.npz"):
        data = (tmp_path / name).read_bytes()
        for stop in range(0, len(data), 7):
            (tmp_path / "cut").write_bytes(data[:stop])
            with pytest.raises(ValueError, match="no file of numpy") as caught:
                read_vectors(tmp_path / "cut", (2, 2), mean, mean + 1)
            assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        read_vectors(tmp_path / "missing.npy", (2, 2), mean, mean + 1)


# the page


@needs_onnx
def test_the_python_of_the_page_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks, said = re.findall(r"```python\n(.*?)```", PAGE, re.S), set()
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
    monkeypatch.setattr(
        export, "FILES", {"safetensors": "model.safetensors"}
    )  # the fixture has written all formats
    doors, ran = {"commands.export": export, "commands.predict": predict}, []
    for name in ("photo.jpg", "scan.png", "cat.png"):
        Image.fromarray(pixels(3, 90)).save(name)
    shutil.copytree("data/students/conv1-60k", "data/students/conv2-180k")
    for kind in ("json", "csv", "retrained.csv"):
        shutil.copyfile(f"metrics/students/conv1-60k.{kind}", f"metrics/students/conv2-180k.{kind}")
    pages = PAGE + (ROOT / "README.md").read_text()
    for line in re.findall(r"^python -m commands\.(?:export|predict) .*", pages, re.M):
        words = shlex.split(line, comments=True)
        status, out, error = run(doors[words[2]], *words[3:])
        assert status == 0 and out and not error, (line, error)
        ran.append(words[2])
    assert sorted(ran) == ["commands.export"] * 2 + ["commands.predict"] * 3
