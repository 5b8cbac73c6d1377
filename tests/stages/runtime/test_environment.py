"""The record of where results were computed."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.runtime import environment
from stages.runtime.environment import describe, record
from tools.pocket import ROOT

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@localhost")


def entries(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "e.json").read_text())


def test_stages_of_one_environment_stand_together(tmp_path: Path) -> None:
    for stage in ("b", "a", "c", "a"):
        record(stage, {"threads": 1, "seed": 0}, tmp_path / "e.json")
    (entry,) = entries(tmp_path)
    assert entry["stages"] == ["a", "b", "c"] and entry["threads"] == 1
    record("b", {"threads": 2, "seed": 0}, tmp_path / "e.json")
    assert [e["stages"] for e in entries(tmp_path)] == [["a", "c"], ["b"]]
    for stage in ("a", "c"):
        record(stage, {"threads": 2, "seed": 0}, tmp_path / "e.json")
    assert [e["stages"] for e in entries(tmp_path)] == [["a", "b", "c"]]


def test_a_continued_stage_keeps_the_environment_of_before(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    record("a", {"torch": "1"}, path)
    record("a", {"torch": "2"}, path, continued=True)
    record("a", {"torch": "2"}, path, continued=True)
    assert [(e["torch"], e["stages"]) for e in json.loads(path.read_text())] == [
        ("1", ["a"]),
        ("2", ["a"]),
    ]
    record("a", {"torch": "3"}, path)
    assert [(e["torch"], e["stages"]) for e in json.loads(path.read_text())] == [("3", ["a"])]


def test_cells_side_by_side_lose_nothing(tmp_path: Path) -> None:
    """Each in a process of its own, all writing at the same time."""
    code = "import sys; from pathlib import Path; from stages.runtime.environment import record\n"
    code += "for k in range(8): record(f'{sys.argv[1]}{k}', {}, Path('e.json'))"
    words = [sys.executable, "-c", code]
    started = [
        subprocess.Popen([*words, name], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
        for name in "abcd"
    ]
    assert [process.wait() for process in started] == [0] * 4
    (entry,) = entries(tmp_path)
    assert entry["stages"] == sorted(f"{name}{k}" for name in "abcd" for k in range(8))


def test_commit_and_changed_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    record("a", {}, tmp_path / "e.json")
    assert (entries(tmp_path)[0]["commit"], entries(tmp_path)[0]["changed"]) == (None, None)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    for words in (("init", "-q"), ("add", "dvc.yaml"), ("commit", "-qm", "first")):
        subprocess.run([*GIT, *words], check=True)
    (tmp_path / "dvc.lock").write_text("a run changes it\n")
    record("a", {}, tmp_path / "e.json")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (entries(tmp_path)[0]["commit"], entries(tmp_path)[0]["changed"]) == (head, False)
    (tmp_path / "dvc.yaml").write_text("stages: {a: 1}\n")
    record("a", {}, tmp_path / "e.json")
    assert [entry["changed"] for entry in entries(tmp_path)] == [True]


@pytest.mark.parametrize("text", ["{", "{}", '[{"stages": 1}]', "[1]"])
def test_a_foreign_file_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "e.json").write_text(text)
    record("a", {}, tmp_path / "e.json")
    assert [entry["stages"] for entry in entries(tmp_path)] == [["a"]]


def test_what_a_process_says_of_itself(device: torch.device) -> None:
    facts = describe(device.type, 1)
    assert facts["torch"] == torch.__version__ and facts["threads"] == 1
    if device.type == "cuda":
        assert facts["device"] == torch.cuda.get_device_name() and facts["cuda"] and facts["driver"]
        assert facts["deterministic_algorithms"] is True and facts["tf32"] is False
    else:
        assert (facts["device"], facts["cuda"], facts["driver"]) == ("cpu", None, None)
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize(("matmul", "cudnn"), [(False, False), (True, False), (False, True)])
def test_tf32_is_that_of_products_and_of_convolutions(matmul: bool, cudnn: bool) -> None:
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch, on in zip(switches, (matmul, cudnn), strict=True):
            switch.allow_tf32 = on
        assert environment._tf32() is (matmul or cudnn)
    finally:
        for switch, on in zip(switches, before, strict=True):
            switch.allow_tf32 = on


class Nvml:
    """Stands in for the driver's library; `status` is what a call that is named in it returns."""

    def __init__(self, **status: int) -> None:
        self.status = status
        self.open = 0

    def nvmlInit_v2(self) -> int:
        self.open += 1
        return self.status.get("init", 0)

    def nvmlSystemGetDriverVersion(self, text: Any, length: int) -> int:
        assert length == ctypes.sizeof(text) == 80
        text.value = b"580.82.07"
        return self.status.get("version", 0)

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0


def test_the_driver_is_what_the_kernel_or_nvml_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nvml = Nvml()
    monkeypatch.setattr(environment, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(environment.ctypes, "CDLL", lambda name: nvml)
    assert environment._driver() == "580.82.07" and nvml.open == 0

    (tmp_path / "version").write_text("")
    assert environment._driver() == "580.82.07"
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX 580.65.06\nGCC version: 12\n")
    assert environment._driver() == "NVRM version: NVIDIA UNIX 580.65.06"


@pytest.mark.parametrize("status", [{"init": 9}, {"version": 3}, None])
def test_a_driver_that_nobody_names_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: dict[str, int] | None
) -> None:
    def library(name: str) -> Nvml:
        if status is None:
            raise OSError(f"{name}: cannot open shared object file")
        return Nvml(**status)

    monkeypatch.setattr(environment, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(environment.ctypes, "CDLL", library)
    assert environment._driver() is None
