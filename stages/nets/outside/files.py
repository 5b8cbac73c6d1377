"""The files of a net from elsewhere, and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stages.nets.outside.libraries import extra, fault
from stages.settings.outside import Described


def files_of_net(path: Path, described: Described) -> list[Path]:
    """The net's file, and those in which an ONNX file has weights besides.

    Args:
        path: of the net's file.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: the file is no net, or names a file outside its folder.
    """
    if described.format != "onnx":
        return [path]

    tensors = _inside(_model(path), extra("onnx", "onnx").TensorProto)
    places = (_location(tensor, path) for tensor in tensors)
    names = sorted({name for name in places if name is not None})
    for name in names:
        if not (path.parent / name).is_file():
            raise FileNotFoundError(
                f"{path} has weights in a file of its own, {name}, which is not in {path.parent}: "
                "put it there"
            )
    return [path, *(path.parent / name for name in names)]


def parameters_of_onnx(path: Path) -> int:
    """Floats in an ONNX file: its weights, and the numbers of its trees or linear models.

    Those of inner graphs count too, of a sparse weight the numbers that are stored.
    """
    onnx = extra("onnx", "onnx")
    model = _model(path)
    floats = {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.BFLOAT16,
    }
    weights = [each for each in _inside(model, onnx.TensorProto) if each.data_type in floats]
    lists = (len(each.floats) for each in _inside(model, onnx.AttributeProto))
    return sum(int(np.prod(each.dims, dtype=np.int64)) for each in weights) + sum(lists)


def _model(path: Path) -> Any:
    """The graph, without weights that are in other files."""
    onnx = extra("onnx", "onnx")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own kinds
        raise ValueError(f"{path} is no ONNX net: {fault(error)}") from error

    if not model.graph.node:
        raise ValueError(f"{path} is no ONNX net: it has no operations")
    return model


def _inside(message: Any, kind: type) -> Iterator[Any]:
    """All parts of a kind, at any depth: the bodies of If, Loop and Scan, functions, sparse weights."""
    if isinstance(message, kind):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if hasattr(value, "ListFields") else value:
                yield from _inside(part, kind)


def _location(tensor: Any, path: Path) -> str | None:
    """Name of the file in which a tensor is; None for this one."""
    for entry in tensor.external_data:
        if entry.key == "location":
            name = str(entry.value)
            if PurePosixPath(name).name != name:
                raise ValueError(
                    f"{path} has weights in {name!r}, in another folder: save it anew with all of "
                    "them in one file beside it"
                )
            return name
    return None
