"""Samples of augmented views as a figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from stages.report.figures import theme  # noqa: F401  sets how figures look


def augmentation(originals: np.ndarray, views: np.ndarray, where: str) -> Figure:
    """Original images and the views that students see in the first epochs; vectors as maps of grey.

    Args:
        originals: uint8 (n, s, s, 3), or vectors float32 (n, ...).
        views: uint8 (n, epochs, s, s, 3), or vectors float32 (n, epochs, ...).
        where: data and scale, for the title.
    """
    if originals.dtype == np.float32:
        return _vectors(originals, where)

    count, epochs = views.shape[:2]
    size = (1.0 * (epochs + 1), 1.02 * count + 0.5)
    figure, grid = plt.subplots(
        count, epochs + 1, figsize=size, squeeze=False, layout="constrained"
    )

    for i in range(count):
        for j, image in enumerate([originals[i], *views[i]]):
            grid[i, j].imshow(image, interpolation="nearest")
            grid[i, j].set_axis_off()

    grid[0, 0].set_title("original", fontsize=8)
    for j in range(epochs):
        grid[0, j + 1].set_title(f"epoch {j + 1}", fontsize=8)

    figure.suptitle(
        f"Augmented views, stored for all students: {where}", fontsize=9, x=0.01, ha="left"
    )

    return figure


def _vectors(vectors: np.ndarray, where: str) -> Figure:
    """Standardised vectors, one column each: frames down, or one line of features."""
    maps = [
        vector.mean(axis=-1) if vector.ndim == 3 else np.atleast_2d(vector) for vector in vectors
    ]
    figure, grid = plt.subplots(
        1, len(maps), figsize=(1.6 * len(maps) + 0.8, 2.2), squeeze=False, layout="constrained"
    )

    most = max(float(np.abs(each).max()) for each in maps) or 1.0
    for axes, each in zip(grid[0], maps, strict=True):
        shown = axes.imshow(
            each, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest"
        )
        axes.set(
            xticks=[0, each.shape[1] - 1], yticks=sorted({0, each.shape[0] - 1}), xlabel="feature"
        )

    grid[0, 0].set_ylabel("frame" if maps[0].shape[0] > 1 else "")
    figure.colorbar(shown, ax=grid[0].tolist(), label="standardised")
    title = f"Training vectors, standardised, the same in every epoch: {where}"
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")

    return figure
