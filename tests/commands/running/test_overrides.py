"""overrides: a value that `dvc exp run -S` sets and DVC loses ends the run."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from commands.running.overrides import anchor_of, check_overrides, overrides

PARAMS = {
    "seed": 1,
    "students": {"sweep": {"trials": 3, "engine": "sobol"}, "final_seeds": 0},
    "boxes": [4, [5, 6]],
}
ANCHOR = "a: &x 1\nb: *x\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("dvc exp run -S seed=5", [("seed", 5)]),
        ("dvc exp run --set-param students.sweep.trials=5", [("students.sweep.trials", 5)]),
        ("dvc exp run --set-param=a.b=0.5 -Sc=1e-3", [("a.b", 0.5), ("c", 0.001)]),
        ("dvc exp run -S params.yaml:a=true --set-param b=null", [("a", True), ("b", None)]),
        ("dvc exp run -S +a=1 -S ~a -S a=[1,2] -S a=word -S a=1,2 -S other.yaml:a=1", []),
        ("dvc exp run -S", []),
        ("dvc repro --single-item a=1", []),
    ],
)
def test_plain_values_are_read(words: str, found: list[tuple[str, Any]]) -> None:
    assert list(overrides(words.split())) == found


def test_a_value_that_is_there_is_fine() -> None:
    words = "dvc exp run -S seed=1 -S students.sweep.trials=3 -S boxes.0=4 -S boxes.1.1=6"
    check_overrides(words.split(), PARAMS, ANCHOR)


def test_without_an_anchor_nothing_is_lost() -> None:
    """DVC reads 0x10 and 010 in its own way."""
    check_overrides("dvc exp run -S seed=010".split(), PARAMS, "seed: 10\n")


@pytest.mark.parametrize(
    "name", ["seed", "students.sweep.trials", "students.none", "boxes.1.0", "boxes.9"]
)
def test_a_value_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"DVC has lost -S {name}=7: params.yaml has .* anchor"):
        check_overrides(["dvc", "exp", "run", "-S", f"{name}=7"], PARAMS, ANCHOR)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\nb: &x {c: 1}\nd: *x\n", (2, "x")),
        ("# R&D: &c\na: b&c\nd: '&e'\n", None),
        ("a: 1\n", None),
    ],
)
def test_anchors_are_found_with_their_line(text: str, found: Any) -> None:
    assert anchor_of(text) == found


def test_a_text_of_which_the_library_takes_two_views_is_no_error() -> None:
    """Its fast reader takes this, and its other one refuses it."""
    text = "a:\n  &x: 1\n  b:\n"
    assert YAML(typ="safe").load(text) == {"a": {None: 1, "b": None}}
    assert anchor_of(text) in (None, (2, "x"), (2, "x:"))
