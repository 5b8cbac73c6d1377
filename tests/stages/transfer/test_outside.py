"""outside: a net of a file is looked at before anything is labelled with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.nets.outside.member import OutsideNet
from stages.nets.teacher import described_teacher
from stages.settings.outside import Described, read_described
from stages.store.ensemble_manifest import EnsembleManifest, MemberOrigin, files_of, net_path
from stages.transfer.members import keep_outside, load_members
from stages.transfer.outside import (
    LookedAt,
    changed_keys,
    descriptions,
    look_at,
    readings,
)
from tests.helpers.outside_nets import CLASSES, coloured, exported, linear_onnx, needs_onnx

CPU = torch.device("cpu")
IMAGES, LABELS = coloured(200)


def look(path: Path) -> LookedAt:
    return look_at(path, CLASSES, IMAGES, LABELS, CPU, 64)


@needs_onnx
def test_a_good_net_is_told_in_one_line(tmp_path: Path) -> None:
    found = look(linear_onnx(tmp_path))
    assert found.accuracy == 1.0 and found.outputs.shape == (200, 4)
    assert found.lines == (
        "linear (onnx): right on 100.0 % of 200 images, and always naming the commonest class is "
        "right on 25.0 %",
    )
    assert (found.name, found.format, found.params) == ("linear", "onnx", 16)


@needs_onnx
def test_another_order_of_the_classes_is_found(tmp_path: Path) -> None:
    """The line has what `classes` should be; with it the net is right."""
    path = linear_onnx(tmp_path, classes=("red", "dark", "blue", "green"))
    found = look(path)
    assert found.accuracy == 0.0
    line = "  it would be right on 100.0 % with its classes in another order: "
    assert f"{line}classes: {json.dumps(CLASSES)}" in found.lines
    assert len(found.lines) == 2, "a reading is told that is right on the commonest class alone"
    assert look(linear_onnx(tmp_path, classes=CLASSES)).accuracy == 1.0


@needs_onnx
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"range": [0.0, 255.0]}, "range: [0, 1]"),
        ({"mean": [0.6], "deviation": [1.0]}, "mean: [0]"),
        ({"channels": "bgr"}, "channels: rgb"),
        ({"range": [-1.0, 1.0], "channels": "bgr"}, "channels: rgb"),
    ],
)
def test_a_wrong_reading_is_named(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    found = look(linear_onnx(tmp_path, bias=(0.8, 0, 0, 0), **keys))
    assert found.accuracy < 0.9
    (line,) = [line for line in found.lines if "as described" in line]
    assert words in line and "of 200 images it is right on 100.0 % with" in line


def test_a_wrong_layout_is_named(tmp_path: Path) -> None:
    """Eight rows, columns and channels would be needed to mistake one for the other."""
    images = np.zeros((40, 3, 3, 3), np.uint8)
    labels = np.arange(40) % 3 + 1
    images[np.arange(40), :, :, labels - 1] = np.random.default_rng(0).integers(90, 255, (40, 3, 3))
    path = exported(tmp_path, size=3, layout="NHWC")
    found = look_at(path, CLASSES, images, labels, CPU, 64)
    assert any("layout: NCHW" in line for line in found.lines)


@needs_onnx
def test_what_runs_is_named_where_the_description_does_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be run on .*; it can be run with layout: NCHW$"):
        look(linear_onnx(tmp_path, layout="NHWC"))
    with pytest.raises(ValueError, match=r"cannot be run on .*; it can be run with channels: rgb$"):
        look(linear_onnx(tmp_path, channels="grey"))


@needs_onnx
def test_a_net_of_whole_levels_is_told_its_range(tmp_path: Path) -> None:
    words = r"input x is uint8, .*; it can be run with range: \[0, 255\]$"
    with pytest.raises(ValueError, match=words):
        look(linear_onnx(tmp_path, uint8=True))
    assert len(look(linear_onnx(tmp_path, uint8=True, range=[0, 255])).lines) == 1


def test_what_runs_is_tried_on_the_batch_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net that fails at one blank image fails so with every reading, and runs on other images."""
    images = IMAGES[:60].copy()
    images[40] = 7
    net = Described("onnx", "a.onnx", CLASSES, "logits")

    def run(inputs: torch.Tensor) -> torch.Tensor:
        values = inputs.flatten(1)
        blank = torch.tensor([len(each.unique()) <= 3 for each in values])  # a value per channel
        return values[:, :4].masked_fill(blank[:, None], torch.inf)

    outside = OutsideNet(net, run, [0, 1, 2, 3], [], CPU)
    monkeypatch.setattr("stages.transfer.outside.load_outside", lambda *given: outside)
    with pytest.raises(ValueError, match=r"for 1 of 16 images: check range, mean and deviation$"):
        look_at(Path("a.yaml"), CLASSES, images, LABELS[:60], CPU, 16)


@needs_onnx
def test_probabilities_that_are_called_logits_are_told(tmp_path: Path) -> None:
    line = "  these look like probabilities: output: probabilities"
    assert line in look(linear_onnx(tmp_path, softmax=True, output="logits")).lines
    assert line not in look(linear_onnx(tmp_path, softmax=True)).lines
    assert line not in look(linear_onnx(tmp_path)).lines


@needs_onnx
def test_chance_is_not_taken_for_another_order(tmp_path: Path) -> None:
    """Assignment fits noise: of few images and many classes it makes much out of nothing."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(30, 3)).astype(np.float32)
    names = [f"c{i}" for i in range(30)]
    path = linear_onnx(tmp_path, weights=weights, bias=np.zeros(30), classes=names)
    images = rng.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8)
    labels = rng.integers(0, 30, 90)
    found = look_at(path, names, images, labels, CPU, 64)
    assert not any("another order" in line or "as described" in line for line in found.lines)


@needs_onnx
def test_a_constant_net_is_refused(tmp_path: Path) -> None:
    path = linear_onnx(tmp_path, weights=np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match="gives the same outputs for every image"):
        look(path)


def test_readings_change_one_key_or_several() -> None:
    net = Described("onnx", "a.onnx", CLASSES, "logits")
    single = [changed_keys(net, other) for other in readings(net, together=False)]
    assert {tuple(keys) for keys in single} == {
        ("layout",),
        ("channels",),
        ("range",),
        ("mean", "deviation"),
    }
    assert len(single) == 5 and len([*readings(net, together=True)]) == 2 * 2 * 3 * 2 - 1
    grey = Described("onnx", "a.onnx", CLASSES, "logits", channels="grey", layout="flat")
    assert {tuple(changed_keys(grey, other)) for other in readings(grey, together=True)} == {
        ("range",)
    }


def test_a_folder_without_descriptions(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has no YAML file that describes a net"):
        descriptions(tmp_path)


@needs_onnx
def test_a_kept_net_answers_as_before_without_the_first_folder(tmp_path: Path) -> None:
    """data/ensemble holds copies: a pulled clone has no other files."""
    path = linear_onnx(tmp_path / "teachers", external=True, classes=CLASSES[::-1])
    found = look(path)
    out = tmp_path / "ensemble"
    keep_outside(path, list(found.order), out, 0)
    manifest = EnsembleManifest((None,), (found.accuracy,), (MemberOrigin("linear", "onnx", 0.5),))
    manifest.write(out)
    assert EnsembleManifest.read(out) == manifest

    for file in path.parent.iterdir():
        file.unlink()
    (net,) = load_members(out, described_teacher, CPU)
    np.testing.assert_array_equal(net(torch.from_numpy(IMAGES)).numpy(), found.outputs)
    names = [each.name for each in files_of(net_path(out, 0, manifest))]
    assert names == ["net.yaml", "linear.onnx", "linear.weights", "order.json"]
    assert read_described(net_path(out, 0, manifest)).classes == CLASSES[::-1]

    (out / "member-00/order.json").write_text("[0, 0, 1, 2]\n")
    with pytest.raises(ValueError, match="is not the order of 4 classes"):
        load_members(out, described_teacher, CPU)


@needs_onnx
def test_copies_are_not_hard_links(tmp_path: Path) -> None:
    """DVC makes its cache read-only, and the user's own file must not become a part of it."""
    path = linear_onnx(tmp_path / "teachers")
    keep_outside(path, [0, 1, 2, 3], tmp_path / "ensemble", 0)
    assert (tmp_path / "teachers/linear.onnx").stat().st_nlink == 1
