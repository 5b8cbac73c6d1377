"""Every stage called as a function, and that no selection looks at the test set."""

from __future__ import annotations

import json
import shutil
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands.sizing.scales import SCALES
from stages import (
    assess,
    augment,
    draw,
    ensemble,
    label,
    page,
    prepare,
    tabulate,
    teachers,
)
from stages.nets.teacher import described_teacher
from stages.runtime.executors import Serial
from stages.settings.read import read_params
from stages.store.epoch import read_epoch
from stages.store.manifest import read_manifest, write_manifest
from stages.store.predictions import fingerprint, mean_logits, read_test_logits, write_test_logits
from stages.store.prepared import read_test, write_split
from stages.store.shards import read_images, shard_path
from stages.store.tensors import read_tensors
from stages.transfer.members import load_members
from stages.trials import sweep, training
from tests.helpers.pocket import run_cell as cell
from tests.helpers.pocket import table
from tools.pocket import pocket_params, write_params


def run_training() -> None:
    teachers.main()
    ensemble.main()
    augment.main()
    label.main()
    cell("mimic", "mlp2", "60k")
    cell("mimic", "conv1", "60k")
    cell("hard", "conv2", "180k")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole pocket pipeline has run, in this process."""
    folder = tmp_path_factory.mktemp("pipeline")
    write_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare.main()
        run_training()
        tabulate.main()
        assess.main()
        draw.main()
        page.main()
    return folder


def test_tables_and_figures_are_there(finished: Path) -> None:
    tables = json.loads((finished / "metrics/tables.json").read_text())
    assert set(tables) == {"mlp2", "conv1", "hard-conv2", "teacher", "ensemble"}
    assert set(tables["mlp2"]) == {"60k"} and set(tables["hard-conv2"]) == {"180k"}
    for name in ("figure1.svg", "figure1.png", "sweeps.png", "augmentation.png", "report.html"):
        assert (finished / "plots" / name).stat().st_size > 1000
    for name in ("table1.csv", "table2.csv", "table1.md", "table2.md", "figure1.csv"):
        assert (finished / "metrics" / name).stat().st_size > 50


def test_reported_cell_is_the_best_by_validation(finished: Path) -> None:
    rows = table(finished / "metrics/students/conv1-60k.csv")
    best = min(rows, key=lambda row: (float(row["validation_error"]), int(row["trial"])))
    facts = json.loads((finished / "metrics/students/conv1-60k.json").read_text())
    assert facts["test_accuracy"] == float(best["test_accuracy"])
    assert facts["validation_accuracy"] == pytest.approx(1 - float(best["validation_error"]))
    assert len(rows) == 3 and [row["trial"] for row in rows] == ["0", "1", "2"]


def test_stored_weights_give_the_reported_accuracy(finished: Path) -> None:
    import torch

    from stages.fit.evaluate import accuracy
    from stages.nets.families import Plan
    from stages.nets.student import build_student
    from stages.store.weights import load_weights

    state, about = load_weights(finished / "data/students/conv1-60k/weights.safetensors")
    net = build_student(Plan.from_json(about["plan"]), about["input_scale"], about["dropout"])
    net.load_state_dict(state)
    images, labels, _ = read_test(finished / "data/prepared")
    found = accuracy(net, torch.from_numpy(images), torch.from_numpy(labels), 7)
    assert (
        found
        == json.loads((finished / "metrics/students/conv1-60k.json").read_text())["test_accuracy"]
    )


def test_logits_are_the_mean_over_members_of_exactly_these_images(finished: Path) -> None:
    import torch

    members = load_members(finished / "data/ensemble", described_teacher, torch.device("cpu"))
    assert len(members) == 2
    shard = read_epoch(finished / "data/augmented", 1, None)
    with torch.inference_mode():
        outputs = [net.eval()(torch.from_numpy(shard.images)).double().numpy() for net in members]
    stored = read_tensors(shard_path(finished / "data/logits", 1))[0]["logits"]
    np.testing.assert_allclose(stored, np.mean(outputs, axis=0), rtol=1e-4, atol=1e-5)


def test_samples_are_the_stored_views(finished: Path) -> None:
    samples = read_tensors(finished / "data/samples/augmented.safetensors")[0]
    arrays, _ = read_images(finished / "data/augmented", 2)
    place = int(np.flatnonzero(arrays["index"] == 4)[0])
    np.testing.assert_array_equal(samples["views"][4, 2], arrays["images"][place])


def test_a_second_run_of_a_stage_repeats_no_trial(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished)
    before = (finished / "metrics/teachers.csv").read_bytes()
    monkeypatch.setattr("stages.trials.training.train", _never)
    teachers.main()
    assert (finished / "metrics/teachers.csv").read_bytes() == before
    assert "4 trials" in capsys.readouterr().out


def _never(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a finished trial was trained again")


def outputs_without_test(folder: Path) -> dict[str, Any]:
    """All that a run chose: sweeps without test columns, bytes of weights and logits."""
    found: dict[str, Any] = {}
    for path in [folder / "metrics/teachers.csv", *sorted((folder / "metrics").glob("*/*.csv"))]:
        found[str(path.relative_to(folder))] = [
            {k: v for k, v in row.items() if k not in ("test_accuracy", "test_sha256")}
            for row in table(path)
        ]
    for path in sorted((folder / "data").rglob("*.safetensors")):
        if path.parent.name != "prepared" and path.name != "test.safetensors":
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_no_selection_reads_the_test_set(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With other test data every choice is the same; only the reported accuracies differ."""
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    prepare.main()
    folder = tmp_path / "data/prepared"
    images, labels, header = read_test(folder)
    said = capsys.readouterr().out
    assert said.startswith("prepare: ") and "10 classes; " in said and "{" not in said
    assert said.endswith(f" for validation, {len(labels):,} for testing\n")
    write_split(folder, "test", 255 - images, ((labels + 1) % 10).astype(np.uint8), header)
    facts = {k: v for k, v in read_manifest(folder).items() if k != "files"}
    write_manifest(folder, facts)
    run_training()
    assert outputs_without_test(tmp_path) == outputs_without_test(finished)
    other = json.loads((tmp_path / "metrics/ensemble.json").read_text())
    assert (
        other["test_accuracy"]
        != json.loads((finished / "metrics/ensemble.json").read_text())["test_accuracy"]
    )


def test_the_ensembles_outputs_on_the_test_images_are_kept(finished: Path) -> None:
    members = read_test_logits(finished / "data/ensemble/test.safetensors")["members"]
    labels = read_test(finished / "data/prepared")[1]
    accuracy = (mean_logits(members).argmax(1) == labels).mean()
    assert accuracy == json.loads((finished / "metrics/ensemble.json").read_text())["test_accuracy"]
    assert list(members) == [0, 1]


def test_a_trials_outputs_are_those_that_its_table_names(finished: Path) -> None:
    held = read_test_logits(finished / "data/students/conv1-60k/test.safetensors")
    labels = read_test(finished / "data/prepared")[1]
    lines = table(finished / "metrics/students/conv1-60k.csv")
    assert held["retrained"] == {} and sorted(held["trials"]) == [
        int(line["trial"]) for line in lines
    ]
    for line in lines:
        logits = held["trials"][int(line["trial"])]
        assert fingerprint(logits) == line["test_sha256"]
        assert (logits.argmax(1) == labels).mean() == float(line["test_accuracy"])


def test_assess_writes_claims_and_fidelity_of_the_reported_nets(finished: Path) -> None:
    found = json.loads((finished / "metrics/claims.json").read_text())
    assert found["images"] == 40 and len(found["claims"]) == 8
    gap = found["claims"]["conv_gap"]["effects"]["60k"]["value_pct"]
    accuracies = json.loads((finished / "metrics/tables.json").read_text())
    assert gap == pytest.approx(accuracies["conv1"]["60k"] - accuracies["mlp2"]["60k"], abs=1e-3)
    verdicts = json.loads((finished / "metrics/verdicts.json").read_text())
    assert verdicts == {name: entry["verdict"] for name, entry in found["claims"].items()}
    lines = table(finished / "metrics/fidelity.csv")
    assert [line["target"] for line in lines] == ["mimic", "mimic", "hard", "teacher", "ensemble"]
    assert 100 * float(lines[0]["accuracy"]) == pytest.approx(accuracies["mlp2"]["60k"])
    assert 100 * float(lines[-1]["accuracy"]) == pytest.approx(accuracies["ensemble"]["test"])
    confusion = [
        line for line in table(finished / "metrics/confusion.csv") if line["net"] == "ensemble"
    ]
    right = sum(int(line["count"]) for line in confusion if line["true"] == line["predicted"])
    assert right == round(0.4 * accuracies["ensemble"]["test"])


@pytest.mark.parametrize("damage", ["other", "missing", "shorter"])
def test_assess_refuses_outputs_of_another_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns("work"))
    path = folder / "data/students/mlp2-60k/test.safetensors"
    held = read_test_logits(path)["trials"]
    path.unlink()
    changed = {
        "other": {trial: logits + 1 for trial, logits in held.items()},
        "missing": {},
        "shorter": {trial: logits[:-1] for trial, logits in held.items()},
    }
    write_test_logits(path, {"trials": changed[damage], "retrained": {}})
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"mlp2-60k/test\.safetensors does not match .*'dvc pull"):
        assess.main()


def test_chosen_hyperparameters_are_trained_again(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From other seeds, with the same search; a repeated run trains nothing."""
    folder = shutil.copytree(finished, tmp_path / "copy")
    write_params(folder, {"students.final_seeds": 3})
    monkeypatch.chdir(folder)
    before = (folder / "metrics/students/mlp2-60k.csv").read_bytes()
    monkeypatch.setattr("stages.trials.training.train", only_in("retrained", training.train))
    cell("mimic", "mlp2", "60k"), cell("mimic", "conv1", "60k")
    assert (folder / "metrics/students/mlp2-60k.csv").read_bytes() == before
    lines = table(folder / "metrics/students/mlp2-60k.retrained.csv")
    assert [line["run"] for line in lines] == ["0", "1", "2"]
    assert len({line["test_sha256"] for line in lines}) == 3, "one seed gave two nets"
    monkeypatch.setattr("stages.trials.training.train", _never)
    again = (folder / "metrics/students/mlp2-60k.retrained.csv").read_bytes()
    cell("mimic", "mlp2", "60k")
    assert (folder / "metrics/students/mlp2-60k.retrained.csv").read_bytes() == again
    assert "over 3 seeds" in capsys.readouterr().out
    tabulate.main(), assess.main()
    shown = {line["row"]: line for line in table(folder / "metrics/retrained.csv")}
    mean = np.mean([100 * float(line["test_accuracy"]) for line in lines])
    assert (
        float(shown["mlp2"]["mean_pct"]) == pytest.approx(mean, abs=1e-3)
        and shown["mlp2"]["runs"] == "3"
    )
    claims = json.loads((folder / "metrics/claims.json").read_text())["claims"]
    value = mean - np.mean(
        [
            100 * float(line["test_accuracy"])
            for line in table(folder / "metrics/students/conv1-60k.retrained.csv")
        ]
    )
    assert claims["conv_gap"]["effects"]["60k"]["value_pct"] == pytest.approx(-value, abs=1e-3)


def test_test_outputs_of_members_are_in_the_order_of_their_files(finished: Path) -> None:
    images = torch.from_numpy(read_test(finished / "data/prepared")[0])
    outputs = read_test_logits(finished / "data/ensemble/test.safetensors")["members"]
    members = load_members(finished / "data/ensemble", described_teacher, torch.device("cpu"))
    assert list(outputs) == list(range(len(members))) and len(members) == 2
    for place, net in enumerate(members):
        assert np.allclose(outputs[place], net.eval()(images).detach().numpy(), atol=1e-4)
    assert not np.allclose(outputs[0], outputs[1], atol=1e-2)


class OnGPUs(Serial):
    """As if trials ran on a GPU."""

    gpus = 1


@pytest.mark.parametrize("stage", ["teachers", "students"])
def test_room_on_a_gpu_is_asked_for_before_the_first_trial(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    write_params(tmp_path, {"execution.trials_per_gpu": 2})
    shutil.copytree(finished / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    asked = []

    def refuse(
        net: Any, images: Any, batch: int, precision: str, device: Any, trials: int, graphs: bool
    ) -> None:
        asked.append(
            (
                sum(p.numel() for p in net.parameters()),
                tuple(images.shape),
                batch,
                precision,
                trials,
                graphs,
            )
        )
        raise ValueError("no room")

    monkeypatch.setattr(training, "check_room", refuse)
    monkeypatch.setattr(sweep, "from_settings", lambda *_: OnGPUs())
    with pytest.raises(ValueError, match="no room"):
        teachers.main() if stage == "teachers" else cell("mimic", "mlp2", "60k")
    (journal,) = (tmp_path / "work").rglob("journal.jsonl")
    assert len(journal.read_text().splitlines()) == 1, "a trial was begun"
    (params, shape, batch, precision, trials, graphs) = asked[0]
    assert (shape, precision, trials, graphs) == ((2, 32, 32, 3), "fp32", 2, True)
    section = pocket_params()[stage]
    assert batch == section["training"]["batch_size"]
    assert params < 60_500 and (stage == "teachers" or params > 59_000)


def only_in(word: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Training that is refused outside folders of that name."""

    def train(
        net: Any, recipe: Any, epochs: Any, validation: Any, seed: Any, checkpoint: Any, *rest: Any
    ) -> Any:
        assert word in str(checkpoint.path), "a finished trial was trained again"
        return plain(net, recipe, epochs, validation, seed, checkpoint, *rest)

    return train


def test_draws_give_the_same_students_as_images(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with the images that were made of them on a disk of their own."""
    write_params(tmp_path, {"augment.store": "draws", "students.rows": ["mlp2"]})
    monkeypatch.chdir(tmp_path)
    prepare.main()
    teachers.main()
    ensemble.main()
    augment.main()
    label.main()
    cell("mimic", "mlp2", "60k")
    stored = (tmp_path / "data/augmented/epoch-000.safetensors").stat().st_size
    assert stored * 20 < (finished / "data/augmented/epoch-000.safetensors").stat().st_size
    for name in ("data/logits/epoch-002.safetensors", "data/students/mlp2-60k/weights.safetensors"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    shutil.rmtree(tmp_path / "work/students"), shutil.rmtree(tmp_path / "data/students")
    monkeypatch.setenv("MIMICNETS_EXECUTION", f"{{scratch: {tmp_path / 'disk'}}}")
    cell("mimic", "mlp2", "60k")
    name = "data/students/mlp2-60k/weights.safetensors"
    assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    assert len(list((tmp_path / "disk").glob("mimicnets-*/*.safetensors"))) == 3


@pytest.mark.parametrize(
    "jitter",
    [pytest.param(True, marks=pytest.mark.middle), pytest.param(False, marks=pytest.mark.slow)],
)
def test_several_processes_make_the_same_shards(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jitter: bool
) -> None:
    """augment and label with one process for each of three epochs, beside one process for all."""
    hsv = {} if jitter else {"augment.hsv": dict.fromkeys(("D_h", "D_s", "D_v", "A_s", "A_v"), 0.0)}
    written = []
    for processes in (1, 3):
        folder = tmp_path / str(processes)
        folder.mkdir()
        engine = "serial" if processes == 1 else "local"
        write_params(folder, {**hsv, "execution.engine": engine, "execution.slots": processes})
        for name in ("prepared", "ensemble"):
            shutil.copytree(finished / "data" / name, folder / "data" / name)
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(augment, "IMAGES_PER_PROCESS", 1)
            patch.setattr(label, "PASSES_PER_PROCESS", 1)
            augment.main()
            label.main()
        files = sorted((folder / "data").glob("*/epoch-*.safetensors"))
        written.append([file.read_bytes() for file in files])
    assert len(written[0]) == 6 and written[0] == written[1]
    if jitter:
        assert written[0][0] == (finished / "data/augmented/epoch-000.safetensors").read_bytes()


def test_shards_that_are_there_are_not_made_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path)
    for name in ("prepared", "unlabelled"):
        shutil.copytree(finished / "data" / name, tmp_path / "data" / name)
    shutil.copytree(finished / "work/augment", tmp_path / "work/augment")
    (shard,) = (tmp_path / "work/augment").glob("*/epoch-001.safetensors")
    before = {file.name: file.stat().st_mtime_ns for file in shard.parent.glob("epoch-*")}
    shard.write_bytes(shard.read_bytes()[:-1])
    monkeypatch.chdir(tmp_path)
    augment.main()
    after = {file.name: file.stat().st_mtime_ns for file in shard.parent.glob("epoch-*")}
    assert {name for name in before if before[name] != after[name]} == {"epoch-001.safetensors"}
    name = "data/augmented/epoch-001.safetensors"
    assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_a_transfer_set_larger_than_the_disk_is_refused_before_the_first_byte(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path, {"augment.epochs": 65535})
    shutil.copytree(finished / "data/prepared", tmp_path / "data/prepared")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: types.SimpleNamespace(free=10**9))
    with pytest.raises(
        OSError, match=r"the transfer set needs 12.2 GB and 1 GB are free .* augment.epochs, or"
    ):
        augment.main()
    assert not list(tmp_path.rglob("epoch-*"))


def test_greedy_selection_by_hand() -> None:
    labels = np.array([0, 1, 1, 0])
    right = np.eye(2)[labels] * 2.0
    confidence = [[1, 1, -1, -1], [1, 1, 1, -1], [-0.5, -0.5, -0.5, 3]]
    outputs = np.stack([right * np.array(row)[:, None] for row in confidence])
    chosen, path = ensemble.select(outputs, labels, 3)
    assert chosen == [
        1,
        2,
        0,
    ]  # alone the third is the worst, but it is sure where the best one errs
    assert path == [0.75, 1.0, 0.75]
    with pytest.raises(ValueError, match=r"ensemble.members is 4, only 3"):
        ensemble.select(outputs, labels, 4)


def test_ties_go_to_the_lower_index() -> None:
    outputs = np.zeros((3, 4, 2))
    assert ensemble.select(outputs, np.zeros(4, int), 3)[0] == [0, 1, 2]


BROKEN: list[tuple[str, Callable[[Path], None], Callable[[], None], str]] = [
    (
        "no prepared data",
        lambda f: _remove(f / "data/prepared/manifest.json"),
        teachers.main,
        "data/prepared",
    ),
    (
        "damaged images",
        lambda f: _flip(f / "data/prepared/train.safetensors"),
        augment.main,
        "train.safetensors",
    ),
    (
        "no teachers",
        lambda f: _remove(f / "data/teachers/manifest.json"),
        ensemble.main,
        "data/teachers",
    ),
    (
        "damaged member",
        lambda f: _flip(f / "data/ensemble/member-00.safetensors"),
        label.main,
        "member-00",
    ),
    (
        "logits of other images",
        lambda f: _swap(
            f / "data/logits/epoch-000.safetensors", f / "data/logits/epoch-001.safetensors"
        ),
        lambda: cell("mimic", "mlp2", "60k"),
        "holds the logits of other images",
    ),
    ("no such row", lambda f: None, lambda: cell("mimic", "conv9", "60k"), "did you mean 'conv"),
    (
        "no box for the budget",
        lambda f: None,
        lambda: cell("mimic", "conv1", "70k"),
        "no box for budget '70k'",
    ),
    (
        "cell not run",
        lambda f: _remove(f / "metrics/students/conv1-60k.csv"),
        tabulate.main,
        "conv1-60k.csv",
    ),
    ("damaged table", lambda f: _cut(f / "metrics/teachers.json"), tabulate.main, "teachers.json"),
]


def _remove(path: Path) -> None:
    path.unlink()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.unlink()  # a hard link may lead to the work folder
    path.write_bytes(data)


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _swap(one: Path, other: Path) -> None:
    data = other.read_bytes()
    one.unlink()
    one.write_bytes(data)


@pytest.mark.parametrize(("what", "harm", "action", "message"), BROKEN, ids=[b[0] for b in BROKEN])
def test_broken_inputs_are_refused_in_one_line(
    what: str,
    harm: Callable[[Path], None],
    action: Callable[[], None],
    message: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import shutil

    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    harm(Path.cwd())
    with pytest.raises((ValueError, OSError)) as caught:
        action()
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prepare.source": "parquet", "prepare.path": "nowhere"}, "nowhere"),
        ({"prepare.source": "image-folder", "prepare.path": "nowhere"}, "nowhere"),
        ({"images.crop_min_px": 33}, "crop_min_px is 33"),
        ({"students.space.lr": 7}, None),
        ({"students.rows": ["conv1", "conv7"]}, "rows has no row 'conv7'"),
        ({"rows.conv1": {"boxes": {"60k": [[6, 12]]}}}, "conv1 has 2 width boxes"),
        ({"rows.conv1": {"boxes": {"70k": [[6, 12], [8, 9]]}}}, "rows.conv1.boxes.60k' is missing"),
        ({"rows.mlp2": {"boxes": {"60k": [[6, 12]]}}}, "mlp2 takes 'ratios"),
        ({"students.rows": ["own"], "rows.own": {"net": "conv5"}}, "unknown net 'conv5'"),
        (
            {"students.budgets": ["2k"], "rows.conv1": {"boxes": {"2k": [[1, 2], [1, 2]]}}},
            "too small for mlp2",
        ),
        ({"prepare.split": "content"}, "split is 'content'"),
        ({"hard.space.momentum": 1.5}, "hard.space.momentum"),
    ],
)
def test_prepare_checks_all_params_before_anything_is_made(
    changes: dict[str, Any], message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path, changes)
    monkeypatch.chdir(tmp_path)
    if message is None:
        prepare.main()
        return
    with pytest.raises((ValueError, OSError), match=message):
        prepare.main()
    assert not (tmp_path / "data/prepared").exists()


def test_content_split_does_not_depend_on_the_order_of_the_source() -> None:
    from stages.images.sources.labelled import Labelled
    from stages.images.sources.split import by_content

    rng = np.random.default_rng(3)
    images, labels = rng.integers(0, 256, (50, 8, 8, 3)).astype(np.uint8), rng.integers(0, 10, 50)
    shuffle = rng.permutation(50)
    one = by_content(Labelled(images, labels))
    other = by_content(Labelled(images[shuffle], labels[shuffle]))
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_split_takes_the_papers_batches() -> None:
    from stages.images.sources.labelled import Labelled, Source
    from stages.images.sources.split import split
    from stages.settings.prepare import Prepare, prepare

    pool = Labelled(np.zeros((50_000, 8, 8, 3), np.uint8), np.arange(50_000))
    test = Labelled(np.zeros((10_000, 8, 8, 3), np.uint8), np.arange(10_000))
    source = Source(pool, test, tuple("0123456789"))

    def settings(train: int, validation: int, tested: int) -> Prepare:
        counts = {"train": train, "validation": validation, "test": tested}
        return replace(prepare(read_params(SCALES / "paper.yaml")), **counts)

    parts = split(settings(40_000, 10_000, 10_000), source).parts
    assert (parts["train"].labels == np.arange(40_000)).all()
    assert (parts["validation"].labels == np.arange(40_000, 50_000)).all()
    assert (parts["test"].labels == np.arange(10_000)).all()
    with pytest.raises(ValueError, match="lower one of them"):
        split(settings(45_000, 10_000, 10), source)
    with pytest.raises(ValueError, match=r"prepare.test is 10001"):
        split(settings(4, 1, 10_001), source)
