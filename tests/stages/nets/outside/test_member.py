"""Nets from elsewhere give logits of our classes, or one line that says why they cannot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.nets.outside.files import files_of_net, parameters_of_onnx
from stages.nets.outside.member import as_logits, load_outside
from stages.settings.outside import read_described
from tests.helpers.outside_nets import (
    CLASSES,
    WEIGHTS,
    branching_onnx,
    coloured,
    described,
    exported,
    linear_onnx,
    needs_onnx,
    squeezenet,
)

CPU = torch.device("cpu")
IMAGES, LABELS = coloured()


def outputs(path: Path, classes: tuple[str, ...] = CLASSES) -> np.ndarray:
    return load_outside(path, classes, CPU)(torch.from_numpy(IMAGES)).numpy()


def wanted() -> np.ndarray:
    """What `linear_onnx` computes, by numpy."""
    return IMAGES.mean(axis=(1, 2)) / 255 @ WEIGHTS.T + [0.8, 0, 0, 0]


@needs_onnx
@pytest.mark.parametrize("batch", ["n", 1, 7, 100])
def test_onnx_of_any_fixed_batch(tmp_path: Path, batch: int | str) -> None:
    found = outputs(linear_onnx(tmp_path, batch=batch))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted(), atol=1e-5)


@needs_onnx
def test_classes_come_in_our_order(tmp_path: Path) -> None:
    """The net's first output is called blue, so blue's logit is its first output."""
    path = linear_onnx(tmp_path, classes=CLASSES[::-1])
    np.testing.assert_allclose(outputs(path), wanted()[:, ::-1], atol=1e-5)


@needs_onnx
def test_outputs_and_inputs_are_not_shared_with_later_calls(tmp_path: Path) -> None:
    net = load_outside(linear_onnx(tmp_path), CLASSES, CPU)
    images = torch.from_numpy(IMAGES.copy())
    first = net(images)
    kept = first.clone()
    net(255 - images)
    assert torch.equal(first, kept) and torch.equal(images, torch.from_numpy(IMAGES))


@needs_onnx
def test_an_input_of_whole_levels_does_not_cut_off_fractions(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"input x is uint8, .* to 0\.\d+: .* range: \[0, 255\], w"
    ):
        outputs(linear_onnx(tmp_path, uint8=True))
    with pytest.raises(ValueError, match="would get others, from -1 to 0"):
        outputs(linear_onnx(tmp_path, uint8=True, range=[-1, 1]))

    path = linear_onnx(tmp_path, uint8=True, range=[0, 255])
    np.testing.assert_allclose(outputs(path), wanted(), atol=1e-5)


@needs_onnx
def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    path = linear_onnx(tmp_path, external=True)
    np.testing.assert_allclose(outputs(path), wanted(), atol=1e-5)
    file = tmp_path / "linear.onnx"
    assert [each.name for each in files_of_net(file, read_described(path))] == [
        "linear.onnx",
        "linear.weights",
    ]

    (tmp_path / "linear.weights").unlink()
    with pytest.raises(FileNotFoundError, match=r"a file of its own, linear\.weights, which is"):
        outputs(path)


@needs_onnx
def test_weights_of_inner_graphs_are_found_and_counted(tmp_path: Path) -> None:
    path = branching_onnx(tmp_path)
    np.testing.assert_allclose(outputs(path), wanted() - [0.8, 0, 0, 0], atol=1e-5)
    file = tmp_path / "branching.onnx"
    names = [each.name for each in files_of_net(file, read_described(path))]
    assert names == ["branching.onnx", "else.weights", "then.weights"]
    assert parameters_of_onnx(file) == 2 * 12

    (tmp_path / "else.weights").unlink()
    with pytest.raises(FileNotFoundError, match=r"a file of its own, else\.weights, which is"):
        outputs(path)


@needs_onnx
def test_weights_of_functions_and_sparse_weights_are_counted(tmp_path: Path) -> None:
    """Of a sparse weight the 3 numbers that are stored, of a function its constant of 5."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    linear_onnx(tmp_path)
    file = tmp_path / "linear.onnx"
    model = onnx.load(str(file))
    values = numpy_helper.from_array(np.ones(3, np.float32), "sparse")
    places = numpy_helper.from_array(np.arange(3), "sparse_places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [100]))
    five = helper.make_tensor("five", TensorProto.FLOAT, [5], np.ones(5))
    constant = helper.make_node("Constant", [], ["out"], value=five)
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "five", [], ["out"], [constant], opset))
    onnx.save(model, str(file))
    assert parameters_of_onnx(file) == 16 + 3 + 5


@needs_onnx
def test_parameters_are_counted(tmp_path: Path) -> None:
    linear_onnx(tmp_path)
    assert parameters_of_onnx(tmp_path / "linear.onnx") == 4 * 3 + 4


@needs_onnx
def test_what_onnxruntime_cannot_run_is_one_line(tmp_path: Path) -> None:
    path = linear_onnx(tmp_path, operation="Bogus")
    with pytest.raises(ValueError, match=r"linear\.onnx cannot be run by onnxruntime: .*Bogus"):
        outputs(path)

    (tmp_path / "linear.onnx").write_bytes(b"\x08\x99hello")
    with pytest.raises(ValueError, match=r"linear\.onnx is no ONNX net"):
        outputs(path)


@needs_onnx
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"input": "pixels"}, "input is 'pixels', the net has x: choose one of them"),
        ({"output_name": "z"}, "output_name is 'z', the net has y"),
        ({"layout": "NHWC"}, r"cannot be run on x \[60, 8, 8, 3\], it is declared"),
        (
            {"classes": (*CLASSES, "violet")},
            r"gives \[60, 4\] for 60 images, and its classes has 5",
        ),
        ({"output": "probabilities"}, "output is probabilities, and what it gives has sums of"),
    ],
)
def test_what_the_net_does_not_have(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    path = linear_onnx(tmp_path, **keys)
    with pytest.raises(ValueError, match=message) as caught:
        outputs(path, tuple(keys.get("classes", CLASSES)))
    assert "\n" not in str(caught.value)


@needs_onnx
def test_outputs_that_are_not_finite(tmp_path: Path) -> None:
    path = linear_onnx(tmp_path, bias=(float("nan"), 0, 0, 0))
    with pytest.raises(ValueError, match="not finite, for 60 of 60 images"):
        outputs(path)


@needs_onnx
def test_vectors_go_to_the_net_as_they_are(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "vectors",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 5])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 2])],
        [numpy_helper.from_array(np.arange(10.0).reshape(5, 2), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "v.onnx"))
    path = described(tmp_path / "v.yaml", ("a", "b"), format="onnx", file="v.onnx")

    vectors = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    found = load_outside(path, ("b", "a"), CPU)(vectors)
    peer = vectors.double().numpy() @ np.arange(10.0).reshape(5, 2)
    np.testing.assert_allclose(found.numpy(), peer[:, ::-1], rtol=1e-5, atol=1e-5)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    path = described(tmp_path / "a.yaml", format="onnx", file="a.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"format onnx needs onnx .*pip install '\.\[onnx\]'"):
        outputs(path)


def test_probabilities_become_centred_logits_with_a_floor() -> None:
    """A forest's zeros have no logarithm: the floor takes their place, and the softmax stays."""
    given = torch.tensor([[0.75, 0.25, 0.0], [1.0, 0.0, 0.0]])
    found = as_logits(given, "probabilities", 1e-3, "a.onnx")
    torch.testing.assert_close(found.mean(1), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.softmax(1), given, atol=3e-3, rtol=0)
    np.testing.assert_allclose(float(found[0, 0] - found[0, 2]), np.log(0.75 / 1e-3), rtol=1e-5)
    torch.testing.assert_close(as_logits(given.log(), "log-probabilities", 1e-3, "a.onnx"), found)


@pytest.mark.parametrize("batch", ["n", 1, 7, 100])
def test_an_exported_program_of_any_fixed_batch(tmp_path: Path, batch: int | str) -> None:
    """Without `dynamic_shapes` torch fixes the batch size to that of the example."""
    found = outputs(exported(tmp_path, batch=batch))
    np.testing.assert_allclose(found, wanted(), atol=1e-5)


def test_an_exported_program_that_takes_less_than_a_batch(tmp_path: Path) -> None:
    path = exported(tmp_path, batch=torch.export.Dim("n", max=16))
    with pytest.raises(ValueError, match=r"run on \[60, .*; export it with a dynamic first dimen"):
        outputs(path)


def test_torchvision_is_the_net_itself(tmp_path: Path) -> None:
    path, net = squeezenet(
        tmp_path, size_px=40, resize="bilinear", mean=[0.5], deviation=[0.25, 0.2, 0.3]
    )
    loaded = load_outside(path, CLASSES, CPU)
    assert loaded.count(tmp_path) == sum(each.numel() for each in net.parameters())

    from stages.nets.outside.views import as_wanted

    with torch.inference_mode():
        peer = net(as_wanted(torch.from_numpy(IMAGES), loaded.described))
        found = loaded(torch.from_numpy(IMAGES))
    assert torch.equal(found, peer)


def test_arguments_may_be_lists_of_lists(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision import models

    blocks = [[1, 16, 1, 1], [6, 24, 2, 2]]  # expansion, channels, repeats, stride
    torch.manual_seed(0)
    net = models.mobilenet_v2(num_classes=4, inverted_residual_setting=blocks).eval()
    save_file(net.state_dict(), tmp_path / "small.safetensors")

    keys = {"format": "torchvision", "architecture": "mobilenet_v2", "file": "small.safetensors"}
    arguments = {"inverted_residual_setting": blocks}
    path = described(tmp_path / "small.yaml", **keys, classes=CLASSES, arguments=arguments)
    loaded = load_outside(path, CLASSES, CPU)
    assert loaded.count(tmp_path) == sum(each.numel() for each in net.parameters())

    with torch.inference_mode():
        peer = net(torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255)
        found = loaded(torch.from_numpy(IMAGES))
    torch.testing.assert_close(found, peer)


@pytest.mark.parametrize("value", [None, {"a": 1}, [[[1]]], [None]])
def test_arguments_are_values_and_lists_of_them(tmp_path: Path, value: Any) -> None:
    path, _ = squeezenet(tmp_path, arguments={"dropout": value})
    with pytest.raises(
        ValueError, match=r"arguments\.dropout is .*: allowed are numbers"
    ) as caught:
        outputs(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"architecture": "resnet18"}, "holds weights of another net than resnet18 with 4 classes"),
        ({"architecture": "squeezenet"}, "unknown to torchvision; did you mean 'squeezenet1_"),
        ({"arguments": {"depth": 3}}, "cannot make squeezenet1_1 with the arguments"),
        (
            {"arguments": {"weights": "DEFAULT"}},
            "has 'weights', by which torchvision loads weights",
        ),
        ({"arguments": {"progress": False}}, "has 'progress', by which torchvision loads weights"),
    ],
)
def test_weights_of_another_net(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    path, _ = squeezenet(tmp_path, **keys)
    with pytest.raises(ValueError, match=message) as caught:
        outputs(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_net(tmp_path: Path) -> None:
    path, _ = squeezenet(tmp_path)
    (tmp_path / "squeezenet.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(ValueError, match="is not a safetensors file"):
        outputs(path)

    (tmp_path / "b.pt2").write_bytes(b"\x00" * 40)
    path = described(tmp_path / "b.yaml", format="torch-export", file="b.pt2", trusted=True)
    with pytest.raises(ValueError, match=r"b\.pt2 is not a torch\.export program"):
        outputs(path)


def test_timm_is_the_net_itself(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is in the extra timm")
    from safetensors.torch import save_file

    net = timm.create_model("test_resnet", pretrained=False, num_classes=4).eval()
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    keys = {"format": "timm", "architecture": "test_resnet", "file": "a.safetensors"}
    path = described(tmp_path / "a.yaml", size_px=64, **keys)
    assert outputs(path).shape == (60, 4)

    # Nothing is loaded from elsewhere, and what the architecture does not know is one line.
    for name in ("checkpoint_path", "cache_dir", "pretrained", "pretrained_cfg_overlay"):
        path = described(tmp_path / "b.yaml", **keys, arguments={name: "x.pth"})
        with pytest.raises(ValueError, match=f"arguments has '{name}', by which timm loads"):
            outputs(path)
    path = described(tmp_path / "b.yaml", **keys, arguments={"act_layer": "nope"})
    with pytest.raises(ValueError, match=r"timm cannot make test_resnet .*: KeyError: 'nope'"):
        outputs(path)

    bad = {**keys, "architecture": "hf-hub:timm/test_resnet"}
    with pytest.raises(ValueError, match="unknown to timm"):
        outputs(described(tmp_path / "b.yaml", **bad))
