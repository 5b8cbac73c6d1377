"""verify on a finished pocket repository: silent when it is whole, else lines that fix it."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from commands import verify
from commands.pipeline.cache import dvc_settings, listing_name, lock_outs, read_lock
from stages import augment, code, ensemble, label, prepare, teachers
from stages.store.manifest import read_manifest, write_manifest
from stages.store.shards import read_images, shard_path, write_images, write_logits
from stages.store.tensors import read_tensors, write_tensors
from tests.helpers.pocket import ENVIRONMENT, copy_of_the_repository, dvc
from tests.helpers.pocket import run_cell as cell
from tools.pocket import ROOT, write_params

STAGES = ("code", "prepare", "teachers", "ensemble", "augment", "label", "students@mlp2-60k")
LAST = " && dvc repro"
"""The end of a remedy that runs later stages; left out here, as it trains all the students."""
Check = Callable[..., tuple[int, list[str]]]
SHARD = "data/logits/epoch-001.safetensors"
MEMBER = "data/ensemble/member-00.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose stages have run but for some cells and the tables, all in DVC's cache."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("whole"))
    write_params(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (code, prepare, teachers, ensemble, augment, label):
            stage.main()
        cell("mimic", "mlp2", "60k")

    dvc(folder, "commit", "-f", *STAGES)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "copied"
    shutil.copytree(whole, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[str]]]:
    """Runs verify in this process: exit status and printed lines."""

    def run(*words: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["verify", *words])
        capsys.readouterr()
        status = 0
        try:
            verify.main()
        except SystemExit as stop:
            status = int(stop.code or 0)

        return status, capsys.readouterr().out.splitlines()

    return run


def object_of(folder: Path, path: str) -> Path:
    """The cached object of an output's file."""
    out = str(Path(path).parent)
    name = Path(path).name
    listing = json.loads(listing_of(folder, out).read_bytes())
    md5 = next(entry["md5"] for entry in listing if entry["relpath"] == name)
    return folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def listing_of(folder: Path, out: str) -> Path:
    """The cached .dir object of an output."""
    found = [
        item["md5"]
        for stage in read_lock(folder).values()
        for item in stage["outs"]
        if item["path"] == out
    ]
    return folder / ".dvc/cache/files/md5" / found[0][:2] / found[0][2:]


def overwrite(path: Path, change: Callable[[bytearray], object], keep_time: bool = False) -> None:
    """Change bytes in place, the mode as it was; `keep_time` as a disk does that forgets."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    change(data)
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(status.st_mode)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(data: bytearray) -> None:
    data[-5] ^= 1


def cut(data: bytearray) -> None:
    del data[len(data) // 2 :]


def shell(folder: Path, command: str) -> None:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_whole_repository_is_right_and_stays_as_it_is(
    whole: Path, check: Callable, copied: Path
) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in copied.rglob("*")}
    status, lines = check()
    assert status == 0, lines
    assert lines[0].startswith(
        "note: not run yet: assess, draw, extra, hard@conv2-180k, page, students@conv1-60k, tabulate"
    )
    assert lines[1].startswith("ensemble: 180 of 180 rows by 2 nets (fp32, ")
    assert lines[1].endswith("are equal byte for byte")
    assert (
        lines[2].startswith("verify: no problems found; checked ")
        and "180 rows through the ensemble" in lines[2]
    )

    count = len([path for path in (copied / ".dvc/cache/files/md5").rglob("*") if path.is_file()])
    assert f"{count} cached objects, 26 outputs, 6 manifests," in lines[2]
    assert before == {
        path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in copied.rglob("*")
    }
    assert check("--quick")[0] == 0


Harm = Callable[[Path], None]
ALTERED = "altered: its md5 is "
DAMAGE: list[tuple[str, Harm, str, str, bool]] = [
    # what, how, the file that is named, what is said of it, whether its remedy is carried out here
    (
        "object",
        lambda f: overwrite(object_of(f, SHARD), flip, keep_time=True),
        "OBJECT",
        ALTERED,
        True,
    ),
    ("object, nothing here", lambda f: _only_cached(f, flip), "OBJECT", ALTERED, True),
    (
        "list of files",
        lambda f: overwrite(listing_of(f, "data/logits"), cut),
        "LISTING",
        ALTERED,
        True,
    ),
    (
        "object gone",
        lambda f: object_of(f, SHARD).unlink(),
        "data/logits",
        "missing in the cache: 1",
        True,
    ),
    ("file", lambda f: overwrite(f / SHARD, flip, keep_time=True), SHARD, ALTERED, True),
    ("missing", lambda f: (f / SHARD).unlink(), SHARD, "missing", True),
    (
        "extra",
        lambda f: (f / "data/logits/.x.part").touch(),
        "data/logits/.x.part",
        "an extra file",
        True,
    ),
    (
        "metrics",
        lambda f: overwrite(f / "metrics/teachers.csv", flip),
        "metrics/teachers.csv",
        ALTERED,
        True,
    ),
    ("member", lambda f: overwrite(f / MEMBER, flip), MEMBER, "do not match their checksum", False),
    (
        "swapped shards",
        lambda f: _swap(f),
        SHARD,
        "holds the logits of other images (epoch 2)",
        False,
    ),
    (
        "manifest",
        lambda f: _edit_manifest(f),
        "data/logits/epoch-000.safetensors",
        "not the manifest's",
        True,
    ),
    ("torn lock", lambda f: _tear(f / "dvc.lock", b"    - pa"), "dvc.lock", "is damaged", False),
    ("torn key", lambda f: _tear(f / "dvc.lock", b"      md"), "dvc.lock", "not valid YAML", False),
]


def _tear(path: Path, end: bytes) -> None:
    """Leave a file torn right behind the last of these bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(end) + len(end)])


def _only_cached(folder: Path, change: Callable[[bytearray], object]) -> None:
    overwrite(object_of(folder, SHARD), change)
    shutil.rmtree(folder / "data/logits")


def _swap(folder: Path) -> None:
    one = folder / SHARD
    other = shard_path(folder / "data/logits", 2)
    first = one.read_bytes()
    second = other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _edit_manifest(folder: Path) -> None:
    """Committed to DVC, so that only the manifest itself tells."""
    path = folder / "data/logits/manifest.json"
    facts = json.loads(path.read_text())
    facts["files"]["epoch-000.safetensors"] = "0" * 64
    path.write_text(json.dumps(facts))
    dvc(folder, "commit", "-f", "label")


def remedy(what: str, harm: Harm, name: str, said: str, copied: Path, check: Callable) -> str:
    """The command that verify prints for a damage, which it must name."""
    places = {"OBJECT": object_of(copied, SHARD), "LISTING": listing_of(copied, "data/logits")}
    name = str(places[name].relative_to(copied)) if name in places else name
    harm(copied)
    status, lines = check()
    wrong = [line for line in lines if line.startswith("problem: ")]
    (line,) = (line for line in wrong if line.startswith(f"problem: {name}: "))

    assert status == 1 and said in line, lines
    assert len(wrong) == (2 if what == "swapped shards" else 1), lines

    count = "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems"
    assert f"verify: {count} found; " in lines[-1]

    command = line.rsplit(" | fix: ", 1)[1]
    assert "rm -rf" in command or "dvc " in command
    return command


@pytest.mark.parametrize(
    ("what", "harm", "name", "said", "mended"), DAMAGE, ids=[d[0] for d in DAMAGE]
)
def test_damage_is_named(
    what: str, harm: Harm, name: str, said: str, mended: bool, copied: Path, check: Callable
) -> None:
    remedy(what, harm, name, said, copied, check)


MENDED = [damage[:4] for damage in DAMAGE if damage[4]]


@pytest.mark.middle
@pytest.mark.parametrize(("what", "harm", "name", "said"), MENDED, ids=[d[0] for d in MENDED])
def test_damage_can_be_mended(
    what: str, harm: Harm, name: str, said: str, copied: Path, check: Callable
) -> None:
    """By the command that is printed, though DVC has seen all files and believes them."""
    dvc(copied, "status")
    command = remedy(what, harm, name, said, copied, check)
    shell(copied, command.removesuffix(LAST))
    status, lines = check()
    assert status == 0, (command, lines)


@pytest.mark.middle
def test_two_damages_are_mended_by_the_joint_line(copied: Path, check: Callable) -> None:
    """An object of two outputs, right in the workspace for one of them only; a file of a third."""
    overwrite(object_of(copied, MEMBER), flip)
    overwrite(copied / MEMBER, flip)
    overwrite(copied / SHARD, cut)
    status, lines = check()

    assert status == 1 and sum(line.startswith("problem: ") for line in lines) == 3

    name = object_of(copied, MEMBER).relative_to(copied)
    (object_line,) = (line for line in lines if line.startswith(f"problem: {name}: "))
    assert "data/ensemble (ensemble)" in object_line and "data/teachers (teachers)" in object_line

    (file_line,) = (line for line in lines if line.startswith(f"problem: {MEMBER}: "))
    assert f"rm -rf {name} {MEMBER} && dvc repro" in file_line

    (joint,) = (line.removeprefix("fix all: ") for line in lines if line.startswith("fix all: "))
    shell(copied, joint)
    assert check()[0] == 0


@pytest.mark.parametrize(
    ("files", "stage", "work"),
    [
        ("students/mlp2-60k", "students@mlp2-60k", "students/mlp2-60k"),
        ("hard/conv2-180k", "hard@conv2-180k", "hard/conv2-180k"),
        (
            "students/conv2-dropout-60k",
            "ablations@conv2-dropout-60k",
            "ablations/conv2-dropout-60k",
        ),
        ("hard/cnn-2014-60k", "teachers_2014@cnn-2014-60k", "teachers_2014/cnn-2014-60k"),
        (
            "students/snn-2014-180k",
            "students_2014@snn-2014-180k-cnn-2014-60k",
            "students_2014/snn-2014-180k",
        ),
    ],
)
def test_a_cell_is_made_again_by_its_own_stage(
    files: str,
    stage: str,
    work: str,
    tmp_path: Path,
    check: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it lies beside the cells of another stage; its work folder has to go."""
    monkeypatch.chdir(tmp_path)
    changes = {
        "teachers_2014": {"rows": ["cnn-2014"], "budgets": ["60k"], "members": 2},
        "students_2014": {"rows": ["snn-2014"], "budgets": ["180k"]},
        "ablations": {"rows": ["conv2-dropout"], "budgets": ["60k"]},
    }
    write_params(tmp_path, changes)
    path = Path("data") / files / "weights.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    (tmp_path / "work" / work).mkdir(parents=True)
    status, lines = check("--only", "data")

    assert status == 1 and lines[0].startswith(f"problem: {path}: ")

    remedy = lines[0].rsplit(" | fix: ", 1)[1]
    assert remedy == f"rm -rf work/{work} && dvc repro -f -s {stage} && dvc repro"
    assert stage in stages_of(tmp_path), "DVC knows this stage"


def stages_of(folder: Path) -> list[str]:
    """Stages of dvc.yaml with these parameters."""
    shutil.copy(ROOT / "dvc.yaml", folder)
    return lock_outs(folder, {})[2]


def test_a_cell_that_is_no_longer_listed_has_no_stage(
    tmp_path: Path, check: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    path = Path("data/students/mlp9-1k/weights.safetensors")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    status, lines = check("--only", "data")
    assert status == 1 and lines[0].endswith(f" | fix: rm -rf {path} && dvc repro")


@pytest.mark.parametrize("harmed", ["logits", "ensemble"])
def test_logits_that_are_not_the_ensembles_are_noticed(
    harmed: str, copied: Path, check: Callable
) -> None:
    """Every hash, checksum, manifest and lock is right; only the numbers are wrong."""
    folder = copied / "data" / harmed
    if harmed == "logits":
        arrays, header = read_tensors(copied / SHARD)
        values = arrays["logits"].copy()
        values[17, 3] += 0.01
        write_logits(folder, 1, values, header["images_sha256"])
    else:
        arrays, header = read_tensors(copied / MEMBER)
        name = next(name for name in sorted(arrays) if arrays[name].ndim == 4)
        write_tensors(copied / MEMBER, {**arrays, name: arrays[name] * np.float32(1.1)}, header)

    write_manifest(
        folder, {key: value for key, value in read_manifest(folder).items() if key != "files"}
    )
    dvc(copied, "commit", "-f", "label" if harmed == "logits" else "ensemble")

    assert check("--only", "cache")[0] == check("--only", "data")[0] == 0

    status, lines = check("--only", "ensemble")
    assert status == 1

    if harmed == "ensemble":
        assert sum(" of 60 rows (first: " in line for line in lines) == 3
        return

    said = "1 of 60 rows (first: 17) are not the ensemble's logits, by up to 0.01;"
    assert lines[0].startswith(f"problem: {SHARD}: {said}")
    assert lines[1].startswith("ensemble: 179 of 180 rows")

    remedy = lines[0].rsplit(" | fix: ", 1)[1]
    assert remedy.endswith(" && dvc repro -f -s label && dvc repro")

    shell(copied, remedy.removesuffix(LAST))
    status, lines = check()
    assert status == 0 and any("180 of 180 rows" in line for line in lines), lines


@pytest.mark.parametrize(
    ("folder", "change", "said"),
    [
        ("logits", {"images_sha256": "0" * 64}, "holds the logits of other images (epoch 1)"),
        ("logits", {"epoch": 2}, "holds the logits of other images (epoch 2)"),
        ("augmented", {"epoch": 2}, "holds epoch 2"),
        ("augmented", {"images_sha256": "0" * 64}, "its images do not have the hash in its header"),
    ],
)
def test_pairs_are_told_by_epoch_and_by_hash(
    folder: str, change: dict[str, object], said: str, copied: Path, check: Callable
) -> None:
    """Headers that say something else, with checksums and manifests that are right."""
    path = shard_path(copied / "data" / folder, 1)
    arrays, header = read_tensors(path)
    write_tensors(path, arrays, {**header, **change})
    write_manifest(
        path.parent,
        {key: value for key, value in read_manifest(path.parent).items() if key != "files"},
    )
    status, lines = check("--only", "data")
    stage = "label" if folder == "logits" else "augment"

    assert (
        status == 1
        and lines[0].startswith(f"problem: {path.relative_to(copied)}: ")
        and said in lines[0]
    )
    assert f"rm -rf work/{stage} && dvc repro -f -s {stage} && dvc repro" in lines[0]
    assert check("--only", "data", "--quick")[0] == 1


def test_a_manifest_of_no_transfer_set_is_named(copied: Path, check: Callable) -> None:
    folder = copied / "data/augmented"
    contents = {key: value for key, value in read_manifest(folder).items() if key != "files"}
    write_manifest(folder, {**contents, "epochs": 0})

    said = "is not the manifest that belongs there (epochs: input should be greater than or equal to 1)"
    for part in ("data", "ensemble"):
        status, lines = check("--only", part)
        (line,) = (line for line in lines if line.startswith("problem: "))
        assert status == 1
        assert line.startswith("problem: data/augmented/manifest.json: says nothing of the epochs")
        assert f"({said})" in line and line.endswith(" && dvc repro")


def test_images_are_made_again_from_their_draws(copied: Path, check: Callable) -> None:
    """And a draw that was altered, with all checksums right, is noticed."""
    folder = copied / "data/augmented"
    for epoch in range(3):
        arrays, header = read_images(folder, epoch)
        write_images(folder, epoch, **arrays, keep_images=False)

    facts = {key: value for key, value in read_manifest(folder).items() if key != "files"} | {
        "store": "draws"
    }
    write_manifest(folder, facts)

    assert check("--only", "data")[0] == check("--only", "ensemble")[0] == 0

    arrays, header = read_tensors(shard_path(folder, 2))
    arrays["draws"][5, 0] ^= 1 << 12  # the hue
    write_tensors(shard_path(folder, 2), arrays, header)
    write_manifest(folder, facts)

    assert check("--only", "data")[0] == 0

    status, lines = check("--only", "ensemble")
    assert (
        status == 1
        and f"problem: {shard_path(Path('data/augmented'), 2)}: the images made from its draws"
        in lines[0]
    )


def test_rounding_of_another_machine_is_allowed(copied: Path, check: Callable) -> None:
    """One last bit in every logit: no row has equal bytes, and nothing is wrong."""
    folder = copied / "data/logits"
    for epoch in range(3):
        arrays, header = read_tensors(shard_path(folder, epoch))
        write_logits(
            folder, epoch, np.nextafter(arrays["logits"], np.float32(9)), header["images_sha256"]
        )

    status, lines = check("--only", "ensemble")
    assert status == 0 and lines[0].startswith("ensemble: 0 of 180 rows"), lines
    assert "largest difference" in lines[0] and "allowed" in lines[0]


def test_what_is_not_here_is_said(copied: Path, check: Callable) -> None:
    shutil.rmtree(copied / "data/logits")
    status, lines = check()
    assert status == 0
    assert (
        "note: data/logits is whole in the cache and not here: 'dvc checkout data/logits' brings it"
        in lines
    )
    assert any(
        line.startswith("note: ensemble not run again: data/logits not here") for line in lines
    )

    shutil.rmtree(copied / ".dvc/cache")
    shutil.rmtree(copied / "data")
    status, lines = check()
    assert status == 1
    assert any(
        "problem: data/logits: missing here and in the cache | fix: dvc repro label" in line
        for line in lines
    )


def test_a_fresh_clone_has_nothing_to_check(tmp_path: Path) -> None:
    """In a process of its own: exit status 1, one line, no traceback; and torch is not imported."""
    words = [sys.executable, "-X", "importtime", "-m", "commands.verify"]
    here = {**ENVIRONMENT, "PYTHONPATH": str(Path(verify.__file__).parents[1])}
    done = subprocess.run(words, cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1].startswith(
        "verify: nothing was checked; 'dvc repro' makes the data"
    )
    assert "numpy" in done.stderr and " torch\n" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_where_dvc_says(copied: Path, check: Callable) -> None:
    """`cache.dir` of .dvc/config.local goes before .dvc/config, and is relative to it."""
    assert dvc_settings(copied)[0] == copied / ".dvc/cache"

    (copied / ".dvc/cache").rename(copied / "elsewhere")
    dvc(copied, "config", "cache.dir", str(copied / "nowhere"))
    dvc(copied, "config", "--local", "cache.dir", str(copied / "elsewhere"))
    assert dvc_settings(copied) == (copied / "elsewhere", False)
    assert check("--only", "cache")[0] == 0

    overwrite(next((copied / "elsewhere/files/md5").glob("*/*.dir")), cut)
    assert check("--quick", "--only", "cache")[0] == 1


def test_a_remote_changes_the_remedy(copied: Path, check: Callable) -> None:
    dvc(copied, "remote", "add", "-d", "storage", str(copied / "storage"))
    dvc(copied, "push")
    _only_cached(copied, flip)
    (line,) = (line for line in check()[1] if line.startswith("problem: "))
    assert line.endswith("dvc pull data/logits")
    shell(copied, line.rsplit(" | fix: ", 1)[1])
    assert check()[0] == 0


def test_lock_file_by_hand(copied: Path) -> None:
    outs, gone, lacking = lock_outs(copied, {**read_lock(copied), "students@mlp9-1k": {"outs": []}})
    assert gone == ["students@mlp9-1k"] and "tabulate" in lacking
    cached = {out.path: out.cached for out in outs}
    assert cached["data/students/mlp2-60k"] and not cached["metrics/students/mlp2-60k.csv"]
    assert listing_name({}) == "d751713988987e9331980363e24189ce.dir"  # md5 of "[]"


def test_sampled_batches_are_spread_over_epochs() -> None:
    rng = np.random.default_rng(1)
    chosen = verify.sample(8, 1000, 200, 600, rng, False)
    assert len(chosen) == 3 and all(
        len(starts) == 1 and starts[0] % 200 == 0 for starts in chosen.values()
    )

    chosen = verify.sample(2, 500, 200, 900, rng, False)
    assert {epoch: len(starts) for epoch, starts in chosen.items()} in ({0: 3, 1: 2}, {0: 2, 1: 3})
    assert verify.sample(2, 500, 200, 1, rng, True) == {0: [0, 200, 400], 1: [0, 200, 400]}
    assert verify.sample(1, 60, 200, 10**6, rng, False) == {0: [0]}


# ----------------------------------------------------------- results that belong to something else


TRIALS = "data/students/mlp2-60k/trials.json"


def rewritten(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file, and have DVC take it as it is."""
    value = json.loads(path.read_text())
    change(value)
    path.chmod(0o644)
    path.write_text(json.dumps(value))


def test_records_are_looked_at(copied: Path, check: Check) -> None:
    status, lines = check("--only", "records")
    assert (status, len(lines)) == (0, 1) and "checked 2 searches" in lines[0]


def test_a_search_with_other_parameters_is_found(copied: Path, check: Check) -> None:
    """As an earlier version could lock it, when params.yaml was edited while the search ran."""

    def change(record: Any) -> None:
        record["settings"]["training"]["max_epochs"] += 1

    rewritten(copied / TRIALS, change)
    status, lines = check("--only", "records")
    assert status == 1
    assert "made with other parameters than dvc.lock says (training.max_epochs)" in lines[0]
    assert lines[0].endswith("dvc repro -f -s students@mlp2-60k && dvc repro")


def test_a_search_from_other_inputs_is_found(copied: Path, check: Check) -> None:
    rewritten(copied / "data/teachers/trials.json", lambda record: record["inputs"].update(x="1"))
    status, lines = check("--only", "records")
    assert status == 1 and "problem: data/teachers: its trials were made from other in" in lines[0]


def test_what_dvc_will_run_again_is_no_problem(copied: Path, check: Check) -> None:
    rewritten(copied / TRIALS, lambda record: record["settings"].update(seed=9))
    write_params(copied, {"students.training.batch_size": 8})
    status, lines = check("--only", "records")
    assert status == 0 and "checked 1 searches" in lines[0]


def test_tables_of_former_rows_are_found(copied: Path, check: Check) -> None:
    lock = copied / "dvc.lock"
    entries = YAML(typ="safe").load(lock)
    old = copy.deepcopy(entries["stages"]["students@mlp2-60k"])
    for out in old["outs"]:
        out["path"] = out["path"].replace("mlp2", "old")
    entries["stages"]["students@old-60k"] = old
    with lock.open("w") as file:
        YAML().dump(entries, file)

    for name in ("old-60k.csv", "old-60k.retrained.csv", "my-60k.csv", "notes.txt"):
        (copied / "metrics/students" / name).write_text("x")
    status, lines = check("--only", "records")
    assert status == 1 and len([line for line in lines if line.startswith("problem")]) == 2
    assert lines[0].endswith("| fix: rm -rf metrics/students/old-60k.csv && dvc repro")


def test_an_ensemble_that_has_learnt_nothing_is_found(copied: Path, check: Check) -> None:
    def chance(record: Any) -> None:
        record["validation_accuracy"] = 0.1

    rewritten(copied / "metrics/ensemble.json", chance)
    assert check("--only", "records")[0] == 0  # the pocket allows it
    write_params(copied, {"ensemble.at_chance": "refuse"})
    status, lines = check("--only", "records")
    assert status == 1 and "metrics/ensemble.json: it has learnt nothing: right on" in lines[0]
