"""Views against a naive reference, byte for byte."""

from __future__ import annotations

import hashlib
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import color
from torch.utils._python_dispatch import TorchDispatchMode

from stages.images import views as views_file
from stages.images.draws import draw, order
from stages.images.hsv import Jitter
from stages.images.views import Views, hsv_planes
from tests.helpers.jitters import OFF, PAPER
from tests.helpers.mapped import mapped, resident

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
    """Crops are windows of flat memory; none reaches beyond it or into the next image."""
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


class Called(TorchDispatchMode):
    """Notes the names of all of torch's functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(function._schema.name.removeprefix("aten::"))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("resident_bytes", [0, 2**30])
@pytest.mark.parametrize("jitter", [PAPER, OFF])
def test_the_way_of_a_gpu_gives_the_same_bytes_and_does_not_wait(
    monkeypatch: pytest.MonkeyPatch, jitter: Jitter, resident_bytes: int
) -> None:
    """On a CPU: with deterministic algorithms CUDA's index_put_ waits for the device."""
    images, draws, index = pixels(114), every_crop(3), np.arange(570) % 114
    wanted = Views(images, "cpu", jitter, resident_bytes=resident_bytes)(index, draws)

    views = Views(images, "cpu", jitter, resident_bytes=resident_bytes)
    views._on_host = False
    for block in (7, 100, 570):
        monkeypatch.setattr(views_file, "_GPU_BYTES", block * 32 * 32 * 3)
        with Called() as called:
            found = views(index, draws)
        assert torch.equal(found, wanted)
        assert "index_select" in called.names
        waits = {"index_put_", "index_put", "_index_put_impl_", "_local_scalar_dense", "nonzero"}
        assert not waits & set(called.names)
    assert views(index[:0], draws[:0]).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("jitter", [PAPER, OFF])
def test_images_in_a_file_are_read_chunk_by_chunk(tmp_path: Path, jitter: Jitter) -> None:
    images, index, draws = pixels(300), order(2, 0, "a", 300), draw(2, 0, "a", 300)
    wanted = Views(images, "cpu", jitter)(index, draws)
    path = tmp_path / "x.safetensors"
    found = mapped(path, images)

    for resident_bytes in (0, 2**30):
        views = Views(found, "cpu", jitter, resident_bytes=resident_bytes)
        assert torch.equal(views(index, draws), wanted)
        assert torch.equal(views(index[50:61], draws[50:61]), wanted[50:61])

    large = mapped(path, np.concatenate([images] * 20))
    views = Views(large, "cpu", jitter, resident_bytes=0)
    views(order(0, 0, "a", 6000), draw(0, 0, "a", 6000))
    assert resident(path) < large.nbytes // 4


def test_planes_of_images_in_a_file(tmp_path: Path) -> None:
    images, index, draws = pixels(300), order(2, 0, "a", 300), draw(2, 0, "a", 300)
    found = mapped(tmp_path / "x.safetensors", images)
    wanted = Views(images, "cpu", PAPER)(index, draws)
    views = Views(found, "cpu", PAPER, resident_bytes=0, planes=hsv_planes(found))
    assert torch.equal(views(index, draws), wanted)
