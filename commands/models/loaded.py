"""A net that predict can ask: of an export, or of a cell of a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from commands.models.exported import exported_net
from commands.models.files import STATISTICS, check_description, model_file
from commands.models.find import PREPARED, find, takes_and_gives
from commands.models.programs import Runner, read_onnx, read_program, torch_runner
from stages.nets.stored import restore
from stages.settings.inputs import Inputs
from stages.store.weights import load_weights


@dataclass(frozen=True)
class Model:
    """A net that can be asked.

    Attributes:
        where: file that it is from.
        run: inputs to logits.
        described: `classes`, and `size_px` or `shape`.
        statistics: where those of the training vectors are, for a net of vectors.
    """

    where: Path
    run: Runner
    described: dict[str, Any]
    statistics: Path

    @property
    def inputs(self) -> Inputs:
        """What the net sees."""
        return Inputs.from_json(self.described)

    def check_outputs(self, logits: np.ndarray) -> None:
        """The net has as many outputs as its description has classes.

        Raises:
            ValueError: it has another number.
        """
        names = self.described["classes"]
        if logits.shape[1] != len(names):
            raise ValueError(
                f"{self.where} has {logits.shape[1]} outputs and {len(names)} class names: export it "
                "again"
            )


def load(model: str, trust: bool, onnx_first: bool = False) -> Model:
    """The net of an exported folder or file, or of a cell.

    Args:
        model: the folder, file or cell.
        trust: whether a .pt2 file is run, which can hold code.
        onnx_first: of a folder take model.onnx before the others, if onnxruntime is installed: it
            is faster than torch.

    Raises:
        OSError: it cannot be read.
        ValueError: there is none, it is damaged, or a .pt2 file is not trusted.
    """
    path = Path(model)
    if not path.exists() or (path / "weights.safetensors").is_file():
        return of_cell(model)

    path = model_file(path, onnx_first and find_spec("onnxruntime") is not None)
    if path.suffix == ".safetensors":
        run, described = of_weights(path)
    elif path.suffix == ".onnx":
        run, described = named(path, read_onnx)
    elif trust:
        run, described = named(path, read_program)
    else:
        raise ValueError(
            f"{path}: torch unpickles parts of a .pt2 file, and whoever wrote it can run code here: "
            "give --trust if you know where it is from, or use the .safetensors or .onnx file"
        )

    check_description(path, described)
    return Model(path, run, described, path.parent / STATISTICS)


def of_cell(cell: str) -> Model:
    """The net of a finished run, as it was trained."""
    try:
        net = find(cell)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{cell} is neither a file, a folder nor a cell ({error})") from error

    state, header = load_weights(net.weights)
    about = {"kind": net.kind, "net": header, "absorbed": False}
    run = torch_runner(restore(net.weights, exported_net, state, about).eval())
    return Model(net.weights, run, takes_and_gives(), PREPARED / STATISTICS)


def of_weights(path: Path) -> tuple[Runner, dict[str, Any]]:
    """What runs an exported model.safetensors, and its description."""
    try:
        state, described = load_weights(path)
        return torch_runner(restore(path, exported_net, state, described).eval()), described
    except ValueError as error:
        reason = str(error).split(": delete")[0].removeprefix(f"{path} ")
        raise ValueError(
            f"{path} is not an export, or damaged ({reason}): write it again with commands.export"
        ) from error


def named(path: Path, read: Any) -> tuple[Runner, dict[str, Any]]:
    """What runs the file, by one of the readers; the file is named in its errors."""
    try:
        return read(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
