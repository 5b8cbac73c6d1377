"""What every source shares: labelled images, checked labels, light imports."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from stages.images.sources.labelled import Labelled
from tests.helpers.image_files import pixels
from tools.pocket import ROOT


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (pixels(3).astype(np.float16), np.zeros(3, np.int64)),
        (pixels(3)[:, :30], np.zeros(3, np.int64)),
        (pixels(3)[..., :1], np.zeros(3, np.int64)),
        (pixels(3), np.zeros(2, np.int64)),
        (pixels(3), np.zeros(3, np.int32)),
        (pixels(3), np.array([0, -1, 0])),
    ],
)
def test_labelled_refuses(images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Labelled(images, labels)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_vectors_of_one_to_three_axes(kind: type) -> None:
    labels = np.zeros(3, np.int64)
    for axes in ((2,), (2, 3), (2, 3, 4)):
        held = Labelled(np.zeros((3, *axes), kind), labels, np.array(["a", "b", "a"]))
        taken = held[np.array([2, 1])]
        assert taken.groups is not None and taken.groups.tolist() == ["a", "b"]
    for axes in ((), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match="float32 or float64"):
            Labelled(np.zeros((3, *axes), kind), labels)


def test_importing_the_sources_is_light() -> None:
    """numpy and scipy only: the heavy libraries are imported by the source that needs them."""
    import subprocess

    code = (
        "import sys, stages.images.sources.table; "
        "heavy = ('torch', 'torchvision', 'sklearn', 'pyarrow', 'PIL', 'kaldiio'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
