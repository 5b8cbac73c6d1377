"""Whole params files: every value that is not allowed is one line with its path."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.scale import compose
from stages.settings import common, results, students, teachers, whole
from stages.settings.prepare import prepare
from stages.settings.read import SECTIONS, read_params
from stages.settings.sweeps import Range
from stages.settings.transfer import augment, ensemble
from tests.helpers.params import DELETED, SMOKE, changed


def test_a_written_file_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(compose("paper"))
    params = read_params(path)
    assert common.seed(params) == params["seed"]
    assert common.numerics(params).precision == "fp32"
    assert teachers.teachers(params).space["lr"] == Range(low=0.01, high=0.05, log=True)
    assert teachers.teachers(params).boxes["H1"] == (512, 1536)
    assert students.matrix(params, "mimic").rows == tuple(f"mlp{i}" for i in range(1, 6)) + tuple(
        f"conv{i}" for i in range(1, 5)
    )
    assert students.row(params, "mimic", "mlp1").boxes["1M"] == ((500, 5000),)
    assert students.row(params, "mimic", "mlp2").ratios == (0.05, 1)
    assert students.matrix(params, "hard").training.weight_decay == 0.0002
    assert (prepare(params).train, ensemble(params).members, augment(params).hsv.D_s) == (
        40000,
        16,
        0.26,
    )
    assert results.tabulate(params).comparable and results.draw(params).figure_rows == 5
    assert results.scale(params) == "paper" and common.execution(params).engine == "local"
    assert common.images(params).crop_min_px == 24


BAD = [
    # path of the leaf, its value, the start of the message after "params.yaml: ", a word of the
    # rest
    ("scale", 3, "scale is 3: ", "string"),
    ("scale", DELETED, "section 'scale' is missing", ""),
    ("sede", 1, "unknown section 'sede'", "'seed'"),
    ("seed", "1", 'seed is "1": ', "integer"),
    ("seed", True, "seed is true: ", "integer"),
    ("seed", 1.0, "seed is 1.0: ", "integer"),
    ("seed", -1, "seed is -1: ", "greater than or equal to 0"),
    ("seed", 2**32, "seed is 4294967296: ", "less than"),
    ("seed", float("nan"), "seed is NaN: ", ""),
    ("seed", datetime.date(2020, 1, 1), 'seed is {"date": "2020-01-01"}: ', "integer"),
    ("numerics", None, "numerics is null: ", "mapping"),
    ("numerics", [1], "numerics is [1]: ", "mapping"),
    ("numerics/threds", 1, "unknown key 'numerics.threds'", "'threads'"),
    ("numerics/threads", DELETED, "'numerics.threads' is missing", ""),
    ("numerics/threads", "1", 'numerics.threads is "1": ', "integer"),
    ("numerics/threads", 0, "numerics.threads is 0: ", "1"),
    ("numerics/precision", "fp16", 'numerics.precision is "fp16": ', "'fp32' or 'bf16'"),
    ("numerics/eval_batch", 2.5, "numerics.eval_batch is 2.5: ", "integer"),
    ("execution/device_s", "cpu", "unknown key 'execution.device_s'", "'devices'"),
    ("execution/devices", "all", 'execution.devices is "all": ', "array"),
    ("execution/devices", [], "execution.devices is []: ", "at least 1"),
    ("execution/devices", [0, -1], "execution.devices.1 is -1: ", "0"),
    ("execution/devices", [1, 1], "execution is {", "devices is [1, 1]: name each GPU once"),
    ("execution/trials_per_gpu", 0, "execution.trials_per_gpu is 0: ", "1"),
    ("execution/trials_per_gpu", 65, "execution.trials_per_gpu is 65: ", "64"),
    ("execution/address", "", 'execution.address is "": ', "1"),
    ("execution/scratch", "", 'execution.scratch is "": ', "1"),
    (
        "execution/scratch",
        "tmp",
        "execution is {",
        "scratch is 'tmp': name a folder from the root on",
    ),
    ("execution/device", "gpu", 'execution.device is "gpu": ', "'cuda'"),
    ("execution/engine", "slurm", 'execution.engine is "slurm": ', "'local'"),
    ("execution/engine", "ray", "execution is {", "address is null: name the cluster"),
    ("execution/slots", 0, "execution.slots is 0: ", "1"),
    (
        "execution/checkpoint_seconds",
        float("inf"),
        "execution.checkpoint_seconds is Infinity: ",
        "finite",
    ),
    ("execution/checkpoint_seconds", -1, "execution.checkpoint_seconds is -1: ", "0"),
    ("images/miror", True, "unknown key 'images.miror'", "'mirror'"),
    ("images/mirror", 0, "images.mirror is 0: ", "boolean"),
    ("images/mirror", DELETED, "'images.mirror' is missing", ""),
    ("images/crop_min_px", 1, "images.crop_min_px is 1: ", "2"),
    ("images/crop_min_px", 33, "images.crop_min_px is 33", "prepare.size_px 32"),
    ("prepare/sorce", "x", "unknown key 'prepare.sorce'", "'source'"),
    ("prepare/source", "cifar", 'prepare.source is "cifar": ', "'cifar10'"),
    ("prepare/split", "content", "prepare is {", "split is 'content'"),
    ("prepare/train", 0, "prepare.train is 0: ", "1"),
    ("prepare/size_px", 31, "prepare is {", "size_px is 31"),
    ("prepare/path", None, "prepare.path is null: ", "string"),
    ("prepare/extra_tests", ["x"], 'prepare.extra_tests is ["x"]: ', "object"),
    ("prepare/extra_tests", {"a b": "x"}, "prepare.extra_tests.a b.[key] is", "pattern"),
    ("prepare/extra_tests", {"../a": "x"}, "prepare.extra_tests.../a.[key] is", "pattern"),
    ("prepare/extra_tests", {"a": 3}, "prepare.extra_tests.a is 3: ", "a folder, or a mapping"),
    ("prepare/extra_tests", {"a": None}, "prepare.extra_tests.a is null: ", "a folder, or a"),
    ("prepare/extra_tests", {"a": ""}, 'prepare.extra_tests.a.path is "": ', "character"),
    ("prepare/extra_tests", {"a": {"path": ""}}, "prepare.extra_tests.a.path is ", "character"),
    ("prepare/extra_tests", {"a": {"image_column": "x"}}, "'prepare.extra_tests.a.path' is", ""),
    (
        "prepare/extra_tests",
        {"a": {"path": "x", "image_colum": "y"}},
        "unknown key 'prepare.extra_tests.a.image_colum'",
        "'image_column'",
    ),
    (
        "prepare/extra_tests",
        {"a": {"path": "x", "label_column": 3}},
        "prepare.extra_tests.a.label_column is 3: ",
        "string",
    ),
    ("prepare/extra_tests", {"test": "x"}, "prepare is {", "the name test, which"),
    ("teachers/sweep/trails", 3, "unknown key 'teachers.sweep.trails'", "'trials'"),
    ("teachers/sweep/trials", "4", 'teachers.sweep.trials is "4": ', "integer"),
    ("teachers/sweep/start", 1, "teachers.sweep is {", "start 1 is below lag 2"),
    ("teachers/sweep/engine", "optuna", 'teachers.sweep.engine is "optuna": ', "'sobol'"),
    ("teachers/training/max_epochs", 0, "teachers.training.max_epochs is 0: ", "1"),
    ("teachers/training/max_epochs", DELETED, "'teachers.training.max_epochs' is missing", ""),
    ("teachers/width_multiple", 0, "teachers.width_multiple is 0: ", "1"),
    ("teachers/width_multiple", 65, "teachers.width_multiple is 65: ", "64"),
    ("teachers/width_multiple", DELETED, "'teachers.width_multiple' is missing", ""),
    ("teachers/boxes/C1", [18, 14], "teachers.boxes.C1 is [18, 14]: ", "low 18"),
    ("teachers/boxes/C1", [18], "'teachers.boxes.C1.1' is missing", ""),
    ("teachers/boxes/C1", [0, 3], "teachers.boxes.C1.0 is 0: ", "1"),
    ("teachers/boxes/H2", [1, 3], "unknown key 'teachers.boxes.H2'", "C1"),
    ("teachers/space/lr", "x", 'teachers.space.lr is "x": ', "number or a mapping"),
    ("teachers/space/lr", float("nan"), "teachers.space.lr is NaN: ", "number or a mapping"),
    ("teachers/space/lr", 0.0, "teachers.space.lr is 0.0: ", "above 0"),
    ("teachers/space/lr", DELETED, "'teachers.space.lr' is missing", ""),
    ("teachers/space/lrate", 0.1, "unknown key 'teachers.space.lrate'", ""),
    ("teachers/space/lr/hgh", 1, "unknown key 'teachers.space.lr.hgh'", "'high'"),
    ("teachers/space/lr/high", DELETED, "'teachers.space.lr.high' is missing", ""),
    (
        "teachers/space/lr/high",
        0.001,
        "teachers.space.lr is {",
        "low 0.01 must be below high 0.001",
    ),
    ("teachers/space/lr/low", 0, "teachers.space.lr is {", "above 0 on a log scale"),
    ("teachers/space/lr/low", float("nan"), "teachers.space.lr.low is NaN: ", "finite"),
    ("teachers/space/C1/integer", True, "", ""),
    (
        "teachers/space/C1",
        {"low": 0.1, "high": 0.9, "integer": True},
        "teachers.space.C1 is {",
        "whole",
    ),
    ("teachers/space/momentum", 1.0, "teachers.space.momentum is 1.0: ", "excluded"),
    ("teachers/space/DOg", 1.0, "teachers.space.DOg is 1.0: ", "excluded"),
    ("teachers/space/DOc1", 0.0, "unknown key 'teachers.space.DOc1'", "DOg"),
    ("teachers/space/D_h", 0.6, "teachers.space.D_h is 0.6: ", "0.5"),
    ("teachers/space/D_s", 1.5, "teachers.space.D_s is 1.5: ", "1.0"),
    ("teachers/space/C2", {"low": 0.0, "high": 1.1}, "teachers.space.C2 is 0.0 .. 1.1: ", "1.0"),
    ("ensemble/member", 3, "unknown key 'ensemble.member'", "'members'"),
    ("ensemble/members", 5, "ensemble.members is 5", "teachers.sweep.trials 4"),
    ("augment/epochs", 0, "augment.epochs is 0: ", "1"),
    ("augment/store", "imges", 'augment.store is "imges": ', "'draws'"),
    ("augment/hsv/D_h", 0.7, "augment.hsv.D_h is 0.7: ", "0.5"),
    ("augment/hsv/d_h", 0.1, "unknown key 'augment.hsv.d_h'", "'D_h'"),
    ("students/rows", "mlp1", 'students.rows is "mlp1": ', "array"),
    ("students/rows", [], "students.rows is []: ", "at least one"),
    ("students/rows", ["mlp1", "mlp1"], "students.rows is [", "'mlp1' is given twice"),
    ("students/budgets", ["180k", "0.18M"], "students.budgets is [", "are the same budget"),
    ("hard/budgets", [60_000, "60K"], "hard.budgets is [", "are the same budget"),
    ("students/rows", ["mlp9"], "rows has no row 'mlp9'", "'mlp"),
    ("students/rows", ["../x"], "students.rows.0 is ", "pattern"),
    ("students/budgets", [6.5], "students.budgets.0 is 6.5: ", "string"),
    ("students/budgets", ["1..2M"], 'students.budgets.0 is "1..2M": ', "pattern"),
    ("students/budgets", ["60k", "60k"], "students.budgets is [", "twice"),
    ("students/budgets", ["70k"], "'rows.mlp1.boxes.70k' is missing", ""),
    ("students/sweep/lag", 3, "students.sweep is {", "start 2 is below lag 3"),
    ("students/training/weight_decay", -0.1, "students.training.weight_decay is -0.1: ", "0"),
    ("students/width_multiple", 0, "students.width_multiple is 0: ", "1"),
    ("students/width_multiple", 8.0, "students.width_multiple is 8.0: ", "integer"),
    ("students/width_multiple", True, "students.width_multiple is true: ", "integer"),
    ("students/width_multiple", DELETED, "'students.width_multiple' is missing", ""),
    ("students/width_multiples", 8, "unknown key 'students.width_multiples'", "'width_multiple'"),
    ("students/space/DOf9", 0.1, "unknown key 'students.space.DOf9'", "'DOf1'"),
    ("students/space/input_scale", 0, "students.space.input_scale is 0.0: ", "above 0"),
    ("students/space/input_scale", DELETED, "'students.space.input_scale' is missing", ""),
    ("hard/budgets", ["60k"], "'hard_rows.conv1.boxes.60k' is missing", ""),
    ("hard/width_multiple", 65, "hard.width_multiple is 65: ", "64"),
    ("hard/width_multiple", "8", 'hard.width_multiple is "8": ', "integer"),
    ("hard/trainig", {}, "unknown key 'hard.trainig'", "'training'"),
    ("hard/space/DOc3", {"low": 0.0, "high": 1.0}, "hard.space.DOc3 is 0.0 .. 1.0: ", "excluded"),
    ("rows", [], "rows is list", "mapping"),
    ("rows/mlp1", None, "rows.mlp1 is null: ", "mapping"),
    ("rows/mlp1/boxs", {}, "unknown key 'rows.mlp1.boxs'", "'boxes'"),
    ("rows/mlp1/boxes/60k", [40, 120], "rows.mlp1.boxes.60k.0 is 40: ", "array"),
    ("rows/mlp1/boxes/60k", [[40, 20]], "rows.mlp1.boxes.60k.0 is [40, 20]: ", "low 40"),
    ("rows/mlp2/ratios", [1, 0.5], "rows.mlp2.ratios is [1, 0.5]: ", "low 1"),
    ("rows/mlp2/ratios", [0.5, 2], "rows.mlp2.ratios.1 is 2: ", "1"),
    ("rows/mlp2/space", {"lrr": 1}, "unknown key 'rows.mlp2.space.lrr'", "'lr'"),
    ("rows/conv1", DELETED, "rows has no row 'conv1'", "'conv"),
    ("hard_rows/conv1/net", 3, "hard_rows.conv1.net is 3: ", "string"),
    ("hard_rows/conv2/boxes", DELETED, "", ""),
    ("tabulate/data", "", 'tabulate.data is "": ', "character"),
    ("tabulate/comparable", "yes", 'tabulate.comparable is "yes": ', "boolean"),
    ("tabulate/dat", "x", "unknown key 'tabulate.dat'", "'data'"),
    ("label/members", [0], "label.members.0 is 0: ", "1"),
    ("label/members", 1, "label.members is 1: ", "array"),
    ("label/member", [1], "unknown key 'label.member'", "'members'"),
    ("ablations/rows", ["conv2-dropout"], "ablations.budgets is [] and the other list is not", ""),
    (
        "ablation_rows/conv2-dropout/off",
        "conv2",
        "unknown key 'ablation_rows.conv2-dropout.off'",
        "'of'",
    ),
    ("ablation_rows/conv2-dropout/of", DELETED, "'ablation_rows.conv2-dropout.of' is missing", ""),
    ("ablations/budgets", ["1m"], 'ablations.budgets.0 is "1m": ', "pattern"),
    ("ablations/row", [], "unknown key 'ablations.row'", "'rows'"),
    ("teachers_2014/members", 6, "teachers_2014.members is 6: ", "5"),
    ("teachers_2014/budgets", ["60k"], "teachers_2014.rows is [] and the other list is not", ""),
    ("students_2014/rows", ["snn"], "students_2014.budgets is [] and the other list is not", ""),
    ("students_2014/members", 4, "unknown key 'students_2014.members'", "'"),
    ("assess/resamples", 0, "assess.resamples is 0: ", "100"),
    ("assess/level", 95, "assess.level is 95: ", "1"),
    ("assess/tolerance_pct", -1, "assess.tolerance_pct is -1: ", "0"),
    ("assess/mlp_ceiling", 75, "unknown key 'assess.mlp_ceiling'", "'mlp_ceiling_pct'"),
    ("students/final_seeds", -1, "students.final_seeds is -1: ", "0"),
    ("hard/final_seeds", 1.5, "hard.final_seeds is 1.5: ", "integer"),
    ("draw/figure_rows", 0, "draw.figure_rows is 0: ", "1"),
    ("draw/figure_rows", 10**400, "draw.figure_rows is 1000", "..."),
    ("draw/figure_row", 5, "unknown key 'draw.figure_row'", "'figure_rows'"),
]
ALLOWED = {"teachers/space/C1/integer", "hard_rows/conv2/boxes"}
"""Leaves above that are not faults: the search takes them, or the families' own defaults hold."""


@pytest.mark.parametrize(
    ("path", "value", "start", "rest"), BAD, ids=[f"{p}={v}"[:60] for p, v, _, _ in BAD]
)
def test_bad_value_is_one_line_with_its_path(path: str, value: Any, start: str, rest: str) -> None:
    if path in ALLOWED:
        whole.check(changed(path, value))
        return
    with pytest.raises(ValueError) as caught:
        whole.check(changed(path, value))
    message = str(caught.value)
    assert message.startswith(f"params.yaml: {start}") and rest in message
    assert "\n" not in message and len(message) < 400


def test_every_section_has_bad_values() -> None:
    assert {path.split("/")[0] for path, *_ in BAD} - {"sede"} == set(SECTIONS)


def test_an_unknown_key_is_named_before_what_it_leaves_missing() -> None:
    params = changed("numerics/threads", DELETED)
    params["numerics"]["threds"] = 1
    with pytest.raises(ValueError, match="unknown key 'numerics.threds'; did you mean 'threads'"):
        whole.check(params)


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all mappings, lists and scalars below `node`."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [p for key, value in items for p in [(*path, key), *leaves(value, (*path, key))]]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [10**400, "1M", "gpyopt", "cuda", 1e308, -0.0, datetime.date(2020, 1, 1), b"x", {1, 2}]
    )
)
KEYS = (
    st.text(max_size=4)
    | st.integers()
    | st.none()
    | st.sampled_from(["low", "high", "lr", "boxes"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(path=st.sampled_from(leaves(SMOKE)), value=VALUES | st.just(DELETED))
def test_a_mutated_leaf_raises_nothing_but_one_line(path: tuple[Any, ...], value: Any) -> None:
    params = copy.deepcopy(SMOKE)
    node = params
    for key in path[:-1]:
        node = node[key]
    if value is DELETED:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    try:
        whole.check(params)
    except ValueError as error:
        assert str(error).startswith("params.yaml: ") and "\n" not in str(error)
