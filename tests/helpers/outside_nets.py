"""Nets from elsewhere for tests: files with their descriptions, made on the spot."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")),
    reason="ONNX is in the extra onnx",
)
CLASSES = ("dark", "red", "green", "blue")
"""Of `coloured`, in the order of their labels."""
WEIGHTS = np.array([[-1, -1, -1], [2, -1, -1], [-1, 2, -1], [-1, -1, 2]], np.float32)
"""Of `linear_onnx`: class x mean of a channel, in [0, 1]."""


def coloured(count: int = 60, size: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of one colour uint8 (n, s, s, 3), or dark ones, and which: int64 (n,)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    images = rng.integers(0, 60, (count, size, size, 3))
    for label in (1, 2, 3):
        images[labels == label, :, :, label - 1] += 160
    return images.astype(np.uint8), labels


def described(path: Path, classes: Sequence[str] = CLASSES, **keys: Any) -> Path:
    """Write a description; classes and keys as JSON, which is YAML."""
    import json

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"output": "logits", **keys, "classes": list(classes)}))
    return path


def linear_onnx(
    folder: Path,
    name: str = "linear",
    *,
    weights: np.ndarray = WEIGHTS,
    bias: Sequence[float] = (0.8, 0, 0, 0),
    batch: int | str = "n",
    size: int | str = "s",
    softmax: bool = False,
    operation: str = "MatMul",
    external: bool = False,
    uint8: bool = False,
    **keys: Any,
) -> Path:
    """A net that answers by the mean of each channel: NCHW, values in [0, 1], or levels of uint8."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kind = TensorProto.UINT8 if uint8 else TensorProto.FLOAT
    if uint8:
        weights = weights / 255
    nodes = [
        helper.make_node("Cast", ["x"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["pixels"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node(operation, ["flat", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["sum"]),
        helper.make_node("Softmax" if softmax else "Identity", ["sum"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", kind, [batch, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, len(weights)])],
        [
            numpy_helper.from_array(np.ascontiguousarray(weights.T), "w"),
            numpy_helper.from_array(np.array(bias, np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(
        model,
        str(folder / f"{name}.onnx"),
        save_as_external_data=external,
        location=f"{name}.weights" if external else None,
        size_threshold=0,
    )
    if softmax:
        keys = {"output": "probabilities", **keys}
    return described(folder / f"{name}.yaml", format="onnx", file=f"{name}.onnx", **keys)


def branching_onnx(folder: Path) -> Path:
    """The same net without its bias, with weights in files of their own in both branches of an If.

    One branch has an initializer in `then.weights`, the other a constant in `else.weights`.
    """
    from onnx import TensorProto, helper, numpy_helper

    def stored(name: str, place: str) -> Any:
        """The weights as a tensor of another file."""
        data = np.ascontiguousarray(WEIGHTS.T)
        (folder / place).write_bytes(data.tobytes())
        tensor = numpy_helper.from_array(data, name)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        return tensor

    def body(name: str, nodes: list[Any], weights: list[Any]) -> Any:
        last = helper.make_node("MatMul", ["flat", "w"], [name])
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([*nodes, last], name, [], [output], weights)

    folder.mkdir(parents=True, exist_ok=True)
    constant = helper.make_node("Constant", [], ["w"], value=stored("value", "else.weights"))
    branches = {
        "then_branch": body("then", [], [stored("w", "then.weights")]),
        "else_branch": body("else", [constant], []),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("If", ["always"], ["y"], **branches),
    ]
    graph = helper.make_graph(
        nodes,
        "branching",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "s", "s"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.array(True), "always")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "branching.onnx").write_bytes(model.SerializeToString())
    return described(folder / "branching.yaml", format="onnx", file="branching.onnx")


class Means(nn.Module):
    """The same net in torch, for torch.export."""

    def forward(self, pixels: Tensor) -> Tensor:
        bias = torch.tensor([0.8, 0, 0, 0])
        return pixels.mean(dim=(2, 3)) @ torch.from_numpy(WEIGHTS).T + bias


def exported(
    folder: Path, name: str = "program", size: int = 8, batch: Any = "n", **keys: Any
) -> Path:
    """A torch.export program of `Means`.

    Args:
        batch: a whole number, which is fixed; "n" for any, or a `torch.export.Dim` with limits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    example = (torch.zeros(batch if isinstance(batch, int) else 2, 3, size, size),)
    free = torch.export.Dim("n") if batch == "n" else batch
    shapes = None if isinstance(batch, int) else ({0: free},)
    program = torch.export.export(Means().eval(), example, dynamic_shapes=shapes)
    torch.export.save(program, folder / f"{name}.pt2")
    return described(
        folder / f"{name}.yaml", format="torch-export", file=f"{name}.pt2", trusted=True, **keys
    )


def squeezenet(
    folder: Path, name: str = "squeezenet", classes: Sequence[str] = CLASSES, **keys: Any
) -> tuple[Path, nn.Module]:
    """torchvision's SqueezeNet 1.1 with random weights of 3 MB, and the net itself."""
    from torchvision import models

    torch.manual_seed(0)
    net = models.squeezenet1_1(weights=None, num_classes=len(classes)).eval()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), folder / f"{name}.safetensors")
    path = described(
        folder / f"{name}.yaml",
        **{
            "format": "torchvision",
            "architecture": "squeezenet1_1",
            "file": f"{name}.safetensors",
            "classes": classes,
            **keys,
        },
    )
    return path, net
