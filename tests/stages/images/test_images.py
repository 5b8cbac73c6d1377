"""The room `images`: draws, HSV, spline operators and views, against naive references."""

from __future__ import annotations

import colorsys
import hashlib
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from skimage import color

from stages.images.draws import COLUMNS, draw, order
from stages.images.hsv import Jitter, hsv_to_rgb, rgb_to_hsv
from stages.images.spline import zoom_operators
from stages.images.views import Views, hsv_planes

PAPER = Jitter(hue=0.06, saturation=0.26, value=0.20, saturation_scale=0.21, value_scale=0.13)
OFF = Jitter(0.0, 0.0, 0.0, 0.0, 0.0)
CROPS = [
    (mirror, size, x, y)
    for mirror in (0, 1)
    for size in range(24, 33)
    for x, y in product(range(33 - size), repeat=2)
]


def pixels(n: int, seed: int = 0, size: int = 32) -> np.ndarray:
    """Random images, some smooth, with grey, black and saturated pixels among them."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    images[::3] = ndimage.gaussian_filter(images[::3].astype(float), (0, 3, 3, 0)).astype(np.uint8)
    images[:, 0] = images[:, 0, :, :1]  # grey
    images[:, 1] = 0
    images[:, 2, ::2] = 255
    images[:, 3] = rng.choice([0, 255], images[:, 3].shape)  # ties between channels
    return images


def every_crop(seed: int = 0) -> np.ndarray:
    """Draws that go through every crop and mirror once, with random jitter."""
    draws = draw(seed, 0, "test", len(CROPS))
    draws[:, 5:] = CROPS
    return draws


def reference(image: np.ndarray, row: np.ndarray, jitter: Jitter) -> np.ndarray:
    """One view the slow way: skimage for HSV, scipy per channel for the spline."""
    hue, saturation, value, s_scale, v_scale = ((int(u) + 0.5) / 65536 for u in row[:5])
    mirror, size, x, y = (int(v) for v in row[5:])

    def scale(a: float, u: float) -> float:
        return 1 / (1 + a) + u * ((1 + a) - 1 / (1 + a))

    hsv = color.rgb2hsv(image / 255.0)
    hsv[..., 0] = (hsv[..., 0] + jitter.hue * (2 * hue - 1)) % 1
    for channel, a, factor, d, shift in (
        (1, jitter.saturation_scale, s_scale, jitter.saturation, saturation),
        (2, jitter.value_scale, v_scale, jitter.value, value),
    ):
        moved = hsv[..., channel] * scale(a, factor) + d * (2 * shift - 1)
        hsv[..., channel] = np.clip(moved, 0, 1)
    rgb = color.hsv2rgb(hsv)
    if mirror:
        rgb = rgb[:, ::-1]
    side = image.shape[0]
    crop = rgb[y : y + size, x : x + size]
    zoomed = np.stack(
        [ndimage.zoom(crop[..., c], side / size, order=3, mode="nearest") for c in range(3)], -1
    )
    return np.rint(255 * np.clip(zoomed, 0, 1)).astype(np.uint8)


# draws


def test_draws_are_in_range_and_of_the_right_type() -> None:
    rows = draw(1, 2, "a", 5000)
    assert rows.dtype == np.uint16 and rows.shape == (5000, len(COLUMNS))
    mirror, size, x, y = rows[:, 5:].astype(int).T
    assert set(mirror) == {0, 1}
    assert set(size) == set(range(24, 33))
    assert (x + size).max() == 32 and (y + size).max() == 32
    assert rows[:, :5].min() < 50 and rows[:, :5].max() > 65485


def test_draws_are_uniform() -> None:
    rows = draw(3, 0, "uniform", 60000).astype(int)
    for column in range(5):
        counts = np.bincount(rows[:, column] // 1024, minlength=64)
        assert stats.chisquare(counts).pvalue > 1e-4
    assert stats.chisquare(np.bincount(rows[:, 5])).pvalue > 1e-4
    assert stats.chisquare(np.bincount(rows[:, 6] - 24)).pvalue > 1e-4
    for size, column in product(range(24, 32), (7, 8)):
        offsets = rows[rows[:, 6] == size, column]
        counts = np.bincount(offsets, minlength=33 - size)
        assert len(counts) == 33 - size
        assert stats.chisquare(counts).pvalue > 1e-5


def test_draws_columns_are_uncorrelated() -> None:
    rows = draw(4, 0, "columns", 40000).astype(float)
    rows[:, 7:] /= np.maximum(32 - rows[:, 6:7], 1)
    rows = rows[rows[:, 6] < 28]
    off_diagonal = np.corrcoef(rows.T) - np.eye(9)
    assert np.abs(off_diagonal).max() < 0.04


def test_epochs_seeds_streams_and_purposes_differ() -> None:
    base = draw(0, 0, "a", 500)
    for other in (draw(0, 1, "a", 500), draw(1, 0, "a", 500), draw(0, 0, "b", 500)):
        assert abs(np.corrcoef(base[:, 0], other[:, 0])[0, 1]) < 0.2
    assert not np.array_equal(order(0, 0, "a", 500), np.argsort(base[:, 0]))


def test_an_epoch_can_be_made_alone_and_a_longer_one_extends_it() -> None:
    alone = draw(5, 7, "a", 100)
    for epoch in (6, 3):
        draw(5, epoch, "a", 10)
    np.testing.assert_array_equal(draw(5, 7, "a", 100), alone)
    np.testing.assert_array_equal(draw(5, 7, "a", 300)[:100], alone)


def test_mirror_off_changes_the_mirror_column_only() -> None:
    on, off = draw(0, 0, "a", 400), draw(0, 0, "a", 400, mirror=False)
    assert on[:, 5].any() and not off[:, 5].any()
    np.testing.assert_array_equal(np.delete(on, 5, axis=1), np.delete(off, 5, axis=1))


def test_order_is_a_new_permutation_every_epoch() -> None:
    first, second = order(0, 0, "a", 1000), order(0, 1, "a", 1000)
    assert first.dtype == np.int32
    for permutation in (first, second):
        np.testing.assert_array_equal(np.sort(permutation), np.arange(1000))
    assert (first == second).mean() < 0.02
    assert abs(np.corrcoef(first, np.arange(1000))[0, 1]) < 0.15


def test_golden_draws() -> None:
    """Tier A of the promises; renew only when the change of every transfer set is intended."""
    found = hashlib.sha256(
        draw(0, 3, "golden", 1000).tobytes() + order(0, 3, "golden", 1000).tobytes()
    ).hexdigest()
    assert found == "3ea5766578b35d01a7b07483977cad1a92696dde75ea2c52740523da900b44ac", (
        f"draws changed; if intended, put {found} here"
    )


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"crop_min": 0}, "crop_min"),
        ({"crop_min": 33}, "crop_min"),
        ({"size_px": 70000}, "size_px"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"epoch": -1}, "epoch"),
    ],
)
def test_draw_refuses(arguments: dict[str, int], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        draw(**{"seed": 0, "epoch": 0, "stream": "a", "n": 3, **arguments})


# HSV


def test_hsv_equals_colorsys() -> None:
    levels = (0.0, 1 / 255, 0.25, 0.5, 200 / 255, 1.0)
    rgb = np.array(list(product(levels, repeat=3)))
    wanted = np.array([colorsys.rgb_to_hsv(*p) for p in rgb])
    found = rgb_to_hsv(torch.from_numpy(rgb)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-15)
    back = np.array([colorsys.hsv_to_rgb(*p) for p in wanted])
    np.testing.assert_allclose(hsv_to_rgb(torch.from_numpy(wanted)).numpy(), back, atol=1e-15)


def test_hsv_equals_skimage_and_inverts() -> None:
    rgb = np.random.default_rng(0).random((40, 50, 3))
    hsv = rgb_to_hsv(torch.from_numpy(rgb))
    assert hsv.dtype == torch.float64
    np.testing.assert_allclose(hsv.numpy(), color.rgb2hsv(rgb), atol=1e-14)
    np.testing.assert_allclose(hsv_to_rgb(hsv).numpy(), rgb, atol=1e-15)
    other = np.random.default_rng(1).random((40, 50, 3))
    np.testing.assert_allclose(
        hsv_to_rgb(torch.from_numpy(other)).numpy(), color.hsv2rgb(other), atol=1e-14
    )


def test_every_corner_of_the_uint8_cube_survives_the_round_trip() -> None:
    grid = torch.cartesian_prod(*[torch.arange(0, 256, 5)] * 3).to(torch.float64)
    back = hsv_to_rgb(rgb_to_hsv(grid / 255)) * 255
    assert torch.equal(back.round(), grid)


def test_jitter_factors_span_their_ranges() -> None:
    ends = np.array([[0] * 9, [65535] * 9], dtype=np.uint16)
    low, high = PAPER.factors(ends)
    np.testing.assert_allclose(high, [0.06, 0.26, 0.20, 1.21, 1.13], rtol=1e-4)
    np.testing.assert_allclose(low, [-0.06, -0.26, -0.20, 1 / 1.21, 1 / 1.13], rtol=1e-4)
    every = np.tile(np.arange(65536, dtype=np.uint16)[:, None], (1, 9))
    np.testing.assert_allclose(PAPER.factors(every)[:, :3].mean(0), 0, atol=1e-12)
    np.testing.assert_array_equal(OFF.factors(ends), [[0, 0, 0, 1, 1]] * 2)


@pytest.mark.parametrize(
    "constants", [(0.6, 0, 0, 0, 0), (0, -0.1, 0, 0, 0), (0, 0, 0, 0, float("nan"))]
)
def test_jitter_refuses(constants: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="jitter constant"):
        Jitter(*constants)


# spline


def test_operators_equal_zoom_on_crops() -> None:
    operators = zoom_operators()
    assert list(operators) == list(range(24, 33))
    signal = np.random.default_rng(0).random(32)
    for size, operator in operators.items():
        assert operator.shape == (32, size) and operator.dtype == np.float64
        for offset in range(33 - size):
            crop = signal[offset : offset + size]
            wanted = ndimage.zoom(crop, 32 / size, order=3, mode="nearest")
            np.testing.assert_allclose(operator @ crop, wanted, atol=5e-15)
            # reversed columns act on the left-right mirrored crop
            np.testing.assert_allclose(operator[:, ::-1] @ crop[::-1], wanted, atol=5e-15)
    np.testing.assert_array_equal(operators[32], np.eye(32))


@pytest.mark.parametrize(("size_px", "crop_min"), [(16, 12), (28, 20), (8, 8)])
def test_operators_of_other_sizes(size_px: int, crop_min: int) -> None:
    operators = zoom_operators(size_px, crop_min)
    assert list(operators) == list(range(crop_min, size_px + 1))
    for size, operator in operators.items():
        assert operator.shape == (size_px, size)
        # a constant stays constant: the rows sum to one
        np.testing.assert_allclose(operator.sum(1), 1, atol=1e-14)


# views


@pytest.mark.parametrize("jitter", [PAPER, OFF, Jitter(0.5, 1.0, 1.0, 3.0, 3.0)])
def test_views_equal_the_naive_reference_on_every_crop(jitter: Jitter) -> None:
    assert len(CROPS) == 570
    images, draws = pixels(114), every_crop()
    index = np.arange(570) % 114
    found = Views(images, "cpu", jitter)(index, draws).numpy()
    assert found.dtype == np.uint8
    wanted = np.stack([reference(images[i], d, jitter) for i, d in zip(index, draws, strict=True)])
    assert (found != wanted).sum() == 0


def test_views_of_other_sizes_equal_the_reference() -> None:
    images, draws = pixels(20, size=20), draw(0, 0, "a", 60, size_px=20, crop_min=13)
    index = np.arange(60) % 20
    found = Views(images, "cpu", PAPER, crop_min=13)(index, draws).numpy()
    wanted = np.stack([reference(images[i], d, PAPER) for i, d in zip(index, draws, strict=True)])
    np.testing.assert_array_equal(found, wanted)


def test_bytes_do_not_depend_on_chunk_threads_or_residence() -> None:
    images, draws = pixels(200), every_crop(1)
    index = order(0, 0, "a", 570) % 200
    views = Views(images, "cpu", PAPER)
    wanted = views(index, draws)
    for chunk in (1, 7, 33, 570):
        assert torch.equal(views(index, draws, chunk), wanted)
    assert torch.equal(Views(images, "cpu", PAPER, resident_bytes=0)(index, draws), wanted)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert torch.equal(Views(images, "cpu", PAPER)(index, draws), wanted)
    finally:
        torch.set_num_threads(threads)


def test_planes_in_a_shared_read_only_map_give_the_same_bytes(tmp_path: Path) -> None:
    images, draws = pixels(40), draw(0, 0, "a", 90)
    index = np.arange(90) % 40
    wanted = Views(images, "cpu", PAPER)(index, draws)
    np.save(tmp_path / "planes.npy", hsv_planes(images).numpy())
    before = hashlib.sha256((tmp_path / "planes.npy").read_bytes()).hexdigest()
    planes = np.load(tmp_path / "planes.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        views = Views(images, "cpu", PAPER, resident_bytes=0, planes=planes)
    assert torch.equal(views(index, draws), wanted)
    assert torch.equal(views(index, draws), wanted)
    assert torch.equal(
        Views(images, "cpu", PAPER, planes=hsv_planes(torch.from_numpy(images)))(index, draws),
        wanted,
    )
    assert hashlib.sha256((tmp_path / "planes.npy").read_bytes()).hexdigest() == before


@pytest.mark.parametrize("wrong", [np.zeros((3, 4, 32, 32), np.float32), np.zeros((4, 3, 32, 32))])
def test_planes_of_other_images_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"planes are .*allowed is float64 \(3, 4, 32, 32\)"):
        Views(pixels(4), "cpu", PAPER, planes=wrong)


@pytest.mark.parametrize("jitter", [PAPER, OFF])
def test_crops_at_the_end_of_the_last_image(jitter: Jitter) -> None:
    """Crops are read as windows of flat memory; none may reach beyond it, or into the next
    image.
    """
    images, draws, index = pixels(3), every_crop(2), np.zeros(570, np.int64)
    wanted = Views(images, "cpu", jitter)(index, draws)
    for resident_bytes in (0, 2**30):
        alone = Views(images[:1], "cpu", jitter, resident_bytes=resident_bytes)
        assert torch.equal(alone(index, draws), wanted)


def test_views_can_be_trained_on() -> None:
    views = Views(pixels(2), "cpu", PAPER)(np.arange(2), draw(0, 0, "a", 2))
    weight = torch.ones(3, requires_grad=True)
    (views.float() * weight).sum().backward()
    assert not views.is_inference() and weight.grad is not None


def test_a_call_leaves_the_next_one_as_it_was() -> None:
    images, draws = pixels(10), draw(0, 0, "a", 10)
    views = Views(torch.from_numpy(images), "cpu", PAPER)
    first = views(torch.arange(10, dtype=torch.int32), torch.from_numpy(draws))
    assert torch.equal(views(np.arange(10), draws), first)


def test_no_jitter_no_crop_is_the_identity() -> None:
    images = pixels(30)
    draws = draw(0, 0, "a", 30)
    draws[:, 5:] = (0, 32, 0, 0)
    found = Views(images, "cpu", OFF)(np.arange(30), draws).numpy()
    np.testing.assert_array_equal(found, images)
    draws[:, 5] = 1
    found = Views(images, "cpu", OFF)(np.arange(30), draws).numpy()
    np.testing.assert_array_equal(found, images[:, :, ::-1])


def test_no_images() -> None:
    found = Views(pixels(2), "cpu", PAPER)(np.empty(0, np.int32), draw(0, 0, "a", 0))
    assert found.shape == (0, 32, 32, 3)


def test_golden_views() -> None:
    """Renew only when a change of every transfer set is intended."""
    images = (np.arange(4 * 32 * 32 * 3).reshape(4, 32, 32, 3) * 2654435761 >> 7) % 256
    views = Views(images.astype(np.uint8), "cpu", PAPER)
    bytes_ = views(np.arange(100) % 4, draw(0, 0, "golden", 100)).numpy().tobytes()
    found = hashlib.sha256(bytes_).hexdigest()
    assert found == "7f37269a1bb40c1aba75b49793012bdbfa10aa894276aa79460a84ce876fa045", (
        f"views changed; if intended, put {found} here"
    )


def test_views_refuse() -> None:
    images, draws = pixels(3), draw(0, 0, "a", 3)
    with pytest.raises(ValueError, match="images are"):
        Views(images.astype(np.float32), "cpu", PAPER)
    with pytest.raises(ValueError, match="images are"):
        Views(images[:, :30], "cpu", PAPER)
    with pytest.raises(ValueError, match="crop_min"):
        Views(images, "cpu", PAPER, crop_min=40)
    views = Views(images, "cpu", PAPER)
    for index in ([0, 1, 3], [-1, 0, 1]):
        with pytest.raises(ValueError, match="index goes"):
            views(np.array(index), draws)
    with pytest.raises(ValueError, match="draws"):
        views(np.arange(3), draws[:2])
    for bad in ((0, 23, 0, 0), (0, 30, 3, 0), (0, 30, 0, 3), (0, 33, 0, 0), (2, 32, 0, 0)):
        draws[1, 5:] = bad
        with pytest.raises(ValueError, match="draw 1 "):
            views(np.arange(3), draws)


def test_views_on_a_gpu_are_those_of_the_cpu(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("run with --device cuda")
    images = np.random.default_rng(3).integers(0, 256, (300, 32, 32, 3)).astype(np.uint8)
    index, draws = order(1, 0, "transfer", 300), draw(1, 0, "transfer", 300)
    for jitter in (Jitter(0.06, 0.26, 0.20, 0.21, 0.13), Jitter(0.0, 0.0, 0.0, 0.0, 0.0)):
        here, there = (
            Views(images, where, jitter)(index, draws).cpu() for where in ("cpu", device)
        )
        assert torch.equal(here, there)
