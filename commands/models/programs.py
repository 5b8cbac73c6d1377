"""Nets as files that run without this project: a `torch.export` program and ONNX.

TorchScript is not written: torch deprecates it in favour of torch.export. Both formats take any
number of inputs, and carry the description of the net, as JSON, beside the weights.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.settings.inputs import Inputs

KEY = "mimicnets.json"
"""Key of the description in both formats."""
OUTPUT = "logits"

Runner = Callable[[np.ndarray], np.ndarray]
"""Inputs (n, ...) -> logits float32 (n, classes)."""


def extra(name: str) -> ModuleType:
    """A library of the extra `export`.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"ONNX needs {name} ({error}): pip install '.[export]', or choose another format"
        ) from None


def check_extras() -> None:
    """Check that everything that writes and runs ONNX is there.

    Raises:
        ValueError: something is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        extra(name)


def input_name(description: Mapping[str, Any]) -> str:
    """Of the net's one input."""
    return "vectors" if Inputs.from_json(description).is_vectors else "images"


def captured(net: nn.Module, example: np.ndarray) -> torch.export.ExportedProgram:
    """The program of a net in eval mode, for any number of inputs.

    Args:
        net: in eval mode.
        example: at least two inputs; their number is not fixed.
    """
    inputs = torch.from_numpy(example[:2])

    # Strict: the other way runs the Python code, where a tensor's len() fixes the number of inputs.
    with torch.no_grad():
        program = torch.export.export(
            net, (inputs,), dynamic_shapes=({0: torch.export.Dim("n")},), strict=True
        )

    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def program_bytes(program: torch.export.ExportedProgram, description: Mapping[str, Any]) -> bytes:
    """A .pt2 file."""
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={KEY: json.dumps(description, allow_nan=False)})
    return file.getvalue()


def read_program(data: bytes) -> tuple[Runner, dict[str, Any]]:
    """What runs a .pt2 file, and its description.

    torch unpickles parts of such a file: whoever wrote it can run code here. Only for files that
    the user trusts.

    Raises:
        ValueError: it is not one of ours, or damaged.
    """
    files = {KEY: ""}
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # torch logs a traceback besides raising
    try:
        net = torch.export.load(io.BytesIO(data), extra_files=files).module()
    except Exception as error:  # torch raises many kinds on damaged files
        raise ValueError(f"not a readable torch.export program ({_first_line(error)})") from error
    finally:
        logging.disable(before)

    return torch_runner(net), _described(files[KEY])


def torch_runner(net: Callable[[Tensor], Tensor]) -> Runner:
    """What runs a torch net that is in eval mode."""

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return net(torch.from_numpy(inputs)).float().numpy()

    return run


def onnx_bytes(program: torch.export.ExportedProgram, description: Mapping[str, Any]) -> bytes:
    """An .onnx file of a captured program, weights inside.

    Raises:
        ValueError: the extra is not installed.
    """
    check_extras()

    # Convert
    names = [input_name(description)]
    exported = torch.onnx.export(
        program, (), dynamo=True, verbose=False, input_names=names, output_names=[OUTPUT]
    )
    assert exported is not None  # with `dynamo` it always is
    model = exported.model_proto

    # Any number of inputs, and the description
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    metadata = model.metadata_props.add()
    metadata.key = KEY
    metadata.value = json.dumps(description, allow_nan=False)

    return model.SerializeToString()


def read_onnx(data: bytes) -> tuple[Runner, dict[str, Any]]:
    """What runs an .onnx file, on the CPU, and its description.

    Raises:
        ValueError: onnxruntime is not installed, or the file is not one of ours or damaged.
    """
    runtime = extra("onnxruntime")
    try:
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds
        raise ValueError(f"not a readable ONNX model ({_first_line(error)})") from error

    described = _described(session.get_modelmeta().custom_metadata_map.get(KEY, ""))
    name = session.get_inputs()[0].name
    return lambda inputs: session.run([OUTPUT], {name: inputs})[0], described


def _described(text: str | bytes) -> dict[str, Any]:
    """The description that a file carries."""
    try:
        described = json.loads(text)
    except ValueError as error:
        raise ValueError(
            "it carries no description of its net: it is not an export of this project"
        ) from error

    if not isinstance(described, dict):
        raise ValueError("its description is not a mapping: it is not an export of this project")
    return described


def _first_line(error: Exception) -> str:
    """What an error says, or its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
