"""Exported nets of a pocket run, what they answer, and files to ask them with."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import export
from commands.models.exported import exported_net
from stages.nets.student import described_student
from stages.store.predictions import read_test_logits
from stages.store.weights import load_weights
from tests.helpers.pocket import table

ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
needs_onnx = pytest.mark.skipif(
    not ONNX, reason="the extra is not installed: pip install '.[export]'"
)
CELL, OUT = "students/conv1-60k", "exports/students/conv1-60k"
FORMATS = ["safetensors", "pt2", pytest.param("onnx", marks=needs_onnx)]
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


def pixels(count: int = 1, size: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (size, size, 3), dtype=np.uint8)


def broken(folder: Path) -> list[tuple[Path, str]]:
    """Files that are not images, and what is said of each."""
    Image.fromarray(pixels()).save(folder / "whole.png")
    data = (folder / "whole.png").read_bytes()
    (folder / "half.png").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "folder.png").mkdir()
    Image.new("1", (10_000, 9_000)).save(folder / "bomb.png")
    Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "floats.tiff")
    (folder / "eps.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n")
    unread = "not a readable picture ("
    return [
        (folder / "half.png", "damaged picture ("),
        (folder / "empty.png", unread),
        (folder / "text.jpg", unread),
        (folder / "folder.png", "Is a directory"),
        (folder / "none.png", "No such file or directory"),
        (folder / "bomb.png", "10000 x 9000 px, allowed are 67,108,864 pixels"),
        (folder / "floats.tiff", "mode F, which has no known range"),
        (folder / "eps.png", unread),
    ]
