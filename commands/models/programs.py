"""Nets as files that run without this project: a `torch.export` program and ONNX.

TorchScript is not written: torch deprecates it in favour of torch.export. Both formats take any
number of inputs, and carry the description of the net, as JSON, beside the weights.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from commands.models.guarded import guarded
from stages.settings.inputs import Inputs

KEY = "mimicnets.json"
"""Key of the description in both formats."""
OUTPUT = "logits"
AXIS = "n"
"""Name of the free axis, the number of inputs."""

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
    """The program of a net in eval mode, for any number of inputs, of one colour too.

    Args:
        net: in eval mode.
        example: at least two inputs; their number is not fixed.
    """
    inputs = torch.from_numpy(np.array(example[:2]))

    # Strict: the other way runs the Python code, where a tensor's len() fixes the number of inputs.
    with torch.no_grad():
        program = torch.export.export(
            guarded(net), (inputs,), dynamic_shapes=({0: torch.export.Dim(AXIS)},), strict=True
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
            # A map of a file is read-only, of which torch warns
            writable = np.require(inputs, requirements="W")
            return net(torch.from_numpy(writable)).float().numpy()

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
        program,
        (),
        dynamo=True,
        verbose=False,
        input_names=names,
        output_names=[OUTPUT],
        dynamic_shapes=({0: AXIS},),  # its name, inside the graph too
    )
    assert exported is not None  # with `dynamo` it always is
    model = exported.model_proto

    # The exporter's notes have another name for the axis
    model.graph.ClearField("metadata_props")

    # The description
    metadata = model.metadata_props.add()
    metadata.key = KEY
    metadata.value = json.dumps(description, allow_nan=False)

    return model.SerializeToString()


def onnx_versions(data: bytes) -> str:
    """What a runtime must know to read an .onnx file, e.g. `opset 20, IR version 10`.

    Raises:
        ValueError: the extra is not installed.
    """
    model = extra("onnx").load_model_from_string(data)
    opsets = [f"{each.domain} opset {each.version}".strip() for each in model.opset_import]
    return f"{', '.join(opsets)}, IR version {model.ir_version}"


def read_onnx(data: bytes) -> tuple[Runner, dict[str, Any]]:
    """What runs an .onnx file, on the CPU, and its description.

    Raises:
        ValueError: onnxruntime is not installed, the file is not one of ours or damaged, or it has
            weights in other files.
    """
    runtime = extra("onnxruntime")
    outside = _other_files(data)
    if outside:
        raise ValueError(
            f"its weights are in other files ({', '.join(outside)}), and predict reads one file: "
            "put them inside with onnx.save(onnx.load('FILE'), 'WHOLE.onnx') in Python, or export "
            "the net again"
        )

    # As many threads as torch would take; those that wait leave the processor to readers of files
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds
        raise ValueError(f"not a readable ONNX model ({_first_line(error)})") from error

    described = _described(session.get_modelmeta().custom_metadata_map.get(KEY, ""))
    name = session.get_inputs()[0].name
    return lambda inputs: session.run([OUTPUT], {name: inputs})[0], described


def _other_files(data: bytes) -> list[str]:
    """Files besides this one in which an .onnx file has weights.

    None where onnx is not installed, or the file is damaged: onnxruntime then says what is wrong.
    """
    try:
        onnx = extra("onnx")
        model = onnx.load_model_from_string(data)
    except Exception:  # also protobuf's own kinds
        return []

    tensors = _inside(model, onnx.TensorProto)
    entries = (entry for tensor in tensors for entry in tensor.external_data)
    return sorted({entry.value for entry in entries if entry.key == "location"})


def _inside(message: Any, kind: type) -> Iterator[Any]:
    """All parts of a message of one kind, at any depth."""
    if isinstance(message, kind):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if hasattr(value, "ListFields") else value:
                yield from _inside(part, kind)


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
