"""Files in the layout of SVHN's full numbers: digitStruct.mat as MATLAB writes it, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.image_files import encoded

Boxes = list[tuple[float, float, float, float, float]]
"""Of a house: left, top, width, height and label of each digit, the label 10 for zero."""
KEYS = ("left", "top", "width", "height", "label")


def write_list(file: Path, houses: dict[str, Boxes]) -> None:
    """A digitStruct.mat: of one digit numbers lie in place, of several behind references."""
    import h5py

    with h5py.File(file, "w", userblock_size=512) as made:
        values = made.create_group("#refs#")
        top = made.create_group("digitStruct")
        top.attrs["MATLAB_class"] = np.bytes_(b"struct")
        names = top.create_dataset("name", (len(houses), 1), h5py.ref_dtype)
        boxes = top.create_dataset("bbox", (len(houses), 1), h5py.ref_dtype)

        for place, (name, digits) in enumerate(houses.items()):
            text = np.array([[ord(letter)] for letter in name], np.uint16)
            names[place, 0] = put(values, text, b"char").ref
            group = values.create_group(f"b{place}")
            boxes[place, 0] = group.ref
            for key, column in zip(KEYS, zip(*digits, strict=True), strict=True):
                if len(column) == 1:
                    group.create_dataset(key, data=np.array([column], float))
                    continue
                kept = group.create_dataset(key, (len(column), 1), h5py.ref_dtype)
                for row, value in enumerate(column):
                    kept[row, 0] = put(values, np.array([[value]], float), b"double").ref

    with file.open("r+b") as stream:  # what MATLAB writes before
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\0\2IM")


def put(group: Any, values: np.ndarray, kind: bytes) -> Any:
    """A data set of any name."""
    made = group.create_dataset(f"v{len(group)}", data=values)
    made.attrs["MATLAB_class"] = np.bytes_(kind)
    return made


def write_houses(folder: Path, houses: dict[str, Boxes], width: int = 20, height: int = 12) -> Path:
    """A part's folder; red is the column of a pixel, green its row, blue the place of the house."""
    folder.mkdir(parents=True)
    for place, name in enumerate(houses):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[..., 0] = np.arange(width)
        pixels[..., 1] = np.arange(height)[:, None]
        pixels[..., 2] = place
        (folder / name).write_bytes(encoded(pixels))
    write_list(folder / "digitStruct.mat", houses)
    return folder
