"""made_up: inputs that data sets lack, with what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from commands.models.made_up import made_up
from stages.settings.inputs import Inputs


@pytest.mark.parametrize("size", [1, 8, 33])
def test_images_are_what_their_names_say(size: int) -> None:
    made = made_up(Inputs.images(size))
    assert all(each.shape == (size, size, 3) and each.dtype == np.uint8 for each in made.values())

    for value in (0, 127, 255):
        assert (made[f"one colour, {value}"] == value).all()
    assert (made["one colour, red"] == [255, 0, 0]).all()
    assert np.bincount(made["one white pixel on black"].ravel())[-1] == 3
    assert (made["one black pixel on white"] == 0).sum() == 3

    one = made["one value that differs by 1"].astype(int)
    assert sorted(set(one.ravel())) == [127, 128] and (one == 128).sum() == 1
    assert set(made["two levels that differ by 1"].ravel()) <= {254, 255}
    assert set(made["black and white by turns"].ravel()) <= {0, 255}
    if size > 1:
        for name in ("two levels that differ by 1", "black and white by turns"):
            assert len(np.unique(made[name])) == 2


@pytest.mark.parametrize("shape", [(1,), (7,), (4, 3), (4, 3, 2)])
def test_vectors_are_what_their_names_say(shape: tuple[int, ...]) -> None:
    made = made_up(Inputs.vectors(shape))
    assert all(each.shape == shape and each.dtype == np.float32 for each in made.values())
    for value in (0, 1, -1, 30):
        assert (made[f"all features {value}"] == value).all()

    one = made["one feature 30, the others 0"]
    assert (one == 30).sum() == 1 and (one == 0).sum() == one.size - 1
    near = made["features that differ by 1e-6"]
    assert len(np.unique(near)) == min(near.size, 2) and np.ptp(near) < 2e-6
