"""Files and values that are not parameters are one line that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.scale import compose
from stages.settings import teachers, whole
from stages.settings.read import nearest, read_params


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    """1e-3 is a number and yes is a word, as in YAML 1.2."""
    path = tmp_path / "params.yaml"
    path.write_text(compose("smoke").replace("high: 0.03", "high: 3e-2"))
    assert teachers.teachers(read_params(path)).space["lr"].high == 0.03
    path.write_text(compose("smoke").replace("mirror: false", "mirror: no"))
    with pytest.raises(ValueError, match='images.mirror is "no"'):
        whole.check(read_params(path))


def test_nearest() -> None:
    assert nearest("trails", ["trials", "start"]) == "; did you mean 'trials'?"
    assert nearest(7, ["a", "b"]) == "; allowed: a, b"


NOT_PARAMS = {
    "empty": "",
    "only a comment": "# nothing",
    "a list": "- 1",
    "not YAML": "scale: [",
    "a tab": "\t",
    "duplicate section": "scale: smoke\nscale: cpu\n",
    "duplicate key": "scale: smoke\nnumerics:\n  threads: 1\n  threads: 2\n",
    "two documents": "--- 1\n--- 2\n",
    "a Python object": "scale: !!python/object/apply:os.system [ls]",
    "no date": "scale: 2020-13-45",
    "no integer": "scale: !!int abc",
    "no boolean": "scale: !!bool maybe",
    "unknown section": "sede: 1",
    "a number as section": "1: 2",
    "a section missing": "scale: smoke",
    "deeply nested": "[" * 1500,
}


@pytest.mark.parametrize("text", NOT_PARAMS.values(), ids=NOT_PARAMS.keys())
def test_bad_file_is_one_line_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_params(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_file_that_is_not_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(FileNotFoundError, match=r"params\.yaml not found: .*commands\.scale smoke"):
        read_params(path)
    path.write_bytes(b"scale: \xff\xfe")
    with pytest.raises(ValueError, match=r"params\.yaml is not valid YAML"):
        read_params(path)


def test_the_marks_of_a_git_merge_are_named(tmp_path: Path) -> None:
    lines = compose("smoke").splitlines()
    (place,) = (i for i, line in enumerate(lines) if line.startswith("seed: "))
    lines[place : place + 1] = ["<<<<<<< HEAD", lines[place], "=======", "seed: 2", ">>>>>>> other"]
    path = tmp_path / "params.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"yaml, line {place + 1} has the mark <<<<<<< of a git"):
        read_params(path)
