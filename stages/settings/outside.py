"""The YAML file that describes a net from elsewhere, beside the net's own file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from stages.settings.read import parse, read_yaml, strict

Side = Annotated[int, Field(ge=1, le=4096)]
Level = Annotated[float, Field(ge=-1e6, le=1e6)]
Factor = Annotated[float, Field(gt=0, le=1e6)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
SCALARS = (bool, int, float, str)

PICKLED = (".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".joblib", ".bin", ".h5", ".npy", ".npz")
"""Endings of files that no teacher is read from; most of them run code when they are opened."""


def _argument(value: Any, levels: int = 2) -> Any:
    """A number, a text, true or false, or lists of them, or lists of such lists."""
    if isinstance(value, list) and levels > 0:
        return [_argument(each, levels - 1) for each in value]
    if not isinstance(value, SCALARS):
        raise ValueError(
            "allowed are numbers, texts, true and false, lists of them, lists of such lists"
        )
    return value


Argument = Annotated[Any, BeforeValidator(_argument)]
"""What an architecture can be made with; lists as depths: [2, 2, 6, 2] of timm."""


@strict
class Described:
    """A net from a file: how it is run, what it takes and what it gives.

    A net of torchvision with ImageNet's statistics, that sees pictures of 224 px::

        format: torchvision
        architecture: resnet18
        file: resnet18.safetensors
        size_px: 224
        mean: [0.485, 0.456, 0.406]
        deviation: [0.229, 0.224, 0.225]
        output: logits
        classes: [cat, dog]

    Attributes:
        format: onnx, torch-export, or an architecture of torchvision or timm with its weights.
        file: name of the net's file, in the same folder.
        classes: names of the classes in the order of the outputs.
        output: what it gives of each class: logits, probabilities or log-probabilities.
        architecture: for torchvision and timm, its name there.
        arguments: for these, what it is made with besides its number of classes.
        trusted: for torch-export, whose files can run code when they are opened.
        input, output_name: of an ONNX net; None: the only one.
        layout: of images: NCHW, NHWC, or flat, (n, h * w * c). Vectors are given as they are.
        channels: rgb, bgr or grey, 0.299 R + 0.587 G + 0.114 B.
        size_px: side that the net sees; None: that of the data.
        resize: antialiased filter where the sides differ.
        range: the net's values of black and of white, before `mean` and `deviation`.
        mean, deviation: of each channel, or one of all; (x - mean) / deviation is what it sees.
        floor: the smallest probability; smaller ones have no usable logarithm.
    """

    format: Literal["onnx", "torch-export", "torchvision", "timm"]
    file: Name
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=65536)]
    output: Literal["logits", "probabilities", "log-probabilities"]
    architecture: Name | None = None
    arguments: dict[str, Argument] = Field(default_factory=dict)
    trusted: bool = False
    input: Name | None = None
    output_name: Name | None = None
    layout: Literal["NCHW", "NHWC", "flat"] = "NCHW"
    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    size_px: Side | None = None
    resize: Literal["bilinear", "bicubic"] = "bicubic"
    range: tuple[Level, Level] = (0.0, 1.0)
    mean: Annotated[tuple[Level, ...], Field(min_length=1, max_length=3)] = (0.0,)
    deviation: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=3)] = (1.0,)
    floor: Annotated[float, Field(gt=0, le=0.1)] = 1e-4


def check_ending(file: str) -> None:
    """Refuse files that would have to be unpickled, with how to convert them.

    Raises:
        ValueError: it is one.
    """
    if file.lower().endswith(PICKLED):
        raise ValueError(
            f"file is {file!r}, which can run code when it is opened, and is not opened here: "
            "convert a state dict of torch once, where you trust it, with safetensors.torch."
            "save_file(torch.load(FILE, weights_only=True), 'net.safetensors'), or export ONNX"
        )


def read_described(path: Path) -> Described:
    """What a YAML file says of a net.

    Raises:
        FileNotFoundError: there is no such file, or not the net's file beside it.
        ValueError: one line: the file, the key, what was got and what is allowed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: each net has a YAML file that describes it")

    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no mapping of keys, as 'format: onnx'")

    classes = values.get("classes")
    for name in classes if isinstance(classes, list) else ():
        if not isinstance(name, str):
            raise ValueError(
                f"{path}: classes has {name!r}, which is no text in YAML: write names in quotes, as "
                f'["{name}"]'
            )

    try:
        described = parse(Described, values, "net")
        _check(described)
    except ValueError as error:
        words = str(error).removeprefix("params.yaml: ").removeprefix("net.").replace("'net.", "'")
        raise ValueError(f"{path}: {words}") from None

    if not (path.parent / described.file).is_file():
        raise FileNotFoundError(
            f"{path}: file is {described.file!r}, which is not in {path.parent}: put it there, or "
            "correct the name"
        )
    return described


def _check(described: Described) -> None:
    """Refuse keys that do not go together."""
    if Path(described.file).name != described.file:
        raise ValueError(f"file is {described.file!r}: name a file of the same folder, without '/'")
    check_ending(described.file)

    of_zoo = described.format in ("torchvision", "timm")
    if of_zoo != (described.architecture is not None):
        needed = "is missing" if of_zoo else "is for torchvision and timm only"
        raise ValueError(f"format is {described.format}, and architecture {needed}")

    if described.format == "torch-export" and not described.trusted:
        raise ValueError(
            "format is torch-export, and such a file can run code when it is opened: write "
            "'trusted: true' if you made it yourself, or export ONNX"
        )

    twice = [name for name in described.classes if described.classes.count(name) > 1]
    if twice:
        raise ValueError(f"classes names {twice[0]!r} twice: one name for each output")

    count = 1 if described.channels == "grey" else 3
    for name, values in (("mean", described.mean), ("deviation", described.deviation)):
        if len(values) not in (1, count):
            raise ValueError(
                f"{name} has {len(values)} values, and the net {count} channels: give one value, "
                "or one of each channel"
            )

    if described.range[0] == described.range[1]:
        raise ValueError("range has one value for black and white: they differ, as in [0, 1]")


def order_of(named: Sequence[str], classes: Sequence[str], source: object) -> list[int]:
    """Place in a net's outputs of each of our classes, by their names.

    >>> order_of(["dog", "cat"], ["cat", "dog"], "net.yaml")
    [1, 0]

    Args:
        named: the net's classes.
        classes: those of the data.
        source: for the error.

    Raises:
        ValueError: the names differ.
    """
    lacking = [name for name in classes if name not in named]
    unknown = [name for name in named if name not in classes]
    if lacking or unknown:
        parts = [
            f"{what} {', '.join(map(repr, names[:5]))}{' and more' if names[5:] else ''}"
            for what, names in (("lacks", lacking), ("has besides", unknown))
            if names
        ]
        raise ValueError(
            f"{source}: classes has {len(named)} names, the data have {len(classes)}: it "
            f"{' and '.join(parts)}; give the data's names in the order of the net's outputs"
        )
    return [list(named).index(name) for name in classes]
