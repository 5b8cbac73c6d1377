"""What one augmented view costs: HSV jitter, mirror, crop and rescaling, on a CPU with one thread.

`stages.images.views.Views` in float64 beside the same operation image by image (scipy and
scikit-image; the uint8 results are compared and must be equal) and beside what torchvision and
kornia offer. Images are random bytes of 32 x 32 px, crops 24 to 32 px, draws are those of
`stages.images.draws`; whatever draws for itself is seeded. All but torchvision's per-image form
take whole batches of images that are in memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from benchmarks.measure import Row, compare, interleaved, main
from stages.images.draws import draw, order
from stages.images.hsv import Jitter
from stages.images.views import Views

SIZE = 32
CROP_MIN = 24
BATCH = 256
JITTER = Jitter(hue=0.06, saturation=0.26, value=0.20, saturation_scale=0.21, value_scale=0.13)
UNIT = "images per CPU-second"
OURS = "ours, HSV planes kept"
AGAIN = "ours, HSV made again for each chunk"
NAIVE = "scipy + skimage, per image"
TV_IMAGE = "torchvision v2, per PIL image"
TV_BATCH = "torchvision v2, per batch"
KORNIA = "kornia functions, batched"
KORNIA_CLASSES = "kornia.augmentation, batched"
OWN_JITTER = "jitter of brightness, saturation and hue by factors only, in an order of its own"
NOTES = {
    AGAIN: "what Views does where the planes of all images would not fit: same bytes",
    NAIVE: "the same operation; its uint8 values were compared with ours",
    TV_IMAGE: (
        f"a bicubic kernel on uint8 instead of the spline in float64; {OWN_JITTER}; "
        "images are PIL before"
    ),
    TV_BATCH: f"another operation: one draw for {BATCH} images; bicubic, uint8; {OWN_JITTER}",
    KORNIA: (
        "our jitter, mirrors and crops, image by image different, "
        "in float32 with a bicubic kernel (no spline)"
    ),
    KORNIA_CLASSES: f"draws for every image; float32, a bicubic kernel; {OWN_JITTER}",
}
Function = Callable[[], int]


def naive(image: np.ndarray, crop: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """One view as its definition reads.

    Args:
        image: uint8 (s, s, 3).
        crop: mirror, size, x, y.
        factors: five of them.
    """
    from skimage import color

    d_h, d_s, d_v, a_s, a_v = factors
    mirror, size, x, y = crop.tolist()
    hsv = color.rgb2hsv(image / 255.0)
    hsv[..., 0] = (hsv[..., 0] + d_h) % 1.0
    hsv[..., 1] = np.clip(a_s * hsv[..., 1] + d_s, 0.0, 1.0)
    hsv[..., 2] = np.clip(a_v * hsv[..., 2] + d_v, 0.0, 1.0)
    rgb = color.hsv2rgb(hsv)
    rgb = rgb[:, ::-1] if mirror else rgb
    channels = rgb[y : y + size, x : x + size].transpose(2, 0, 1)
    zoomed = [ndimage.zoom(channel, SIZE / size, order=3, mode="nearest") for channel in channels]

    return np.rint(255.0 * np.clip(np.stack(zoomed, -1), 0.0, 1.0)).astype(np.uint8)


def torchvision_alternatives(images: np.ndarray, count: int) -> dict[str, Function]:
    """`count` images one by one, and all in batches."""
    from PIL import Image
    from torchvision.transforms import v2

    smallest = (CROP_MIN / SIZE) ** 2
    bicubic = v2.InterpolationMode.BICUBIC
    view = v2.Compose(
        [
            v2.ColorJitter(brightness=JITTER.value, saturation=JITTER.saturation, hue=JITTER.hue),
            v2.RandomHorizontalFlip(),
            v2.RandomResizedCrop(
                SIZE, scale=(smallest, 1.0), ratio=(1.0, 1.0), interpolation=bicubic
            ),
        ]
    )
    pictures = [Image.fromarray(image) for image in images[:count]]
    to_tensor = v2.PILToTensor()
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def per_image() -> int:
        for picture in pictures:
            to_tensor(view(picture))
        return len(pictures)

    def per_batch() -> int:
        for batch in tensors.split(BATCH):
            view(batch)
        return len(tensors)

    return {TV_IMAGE: per_image, TV_BATCH: per_batch}


def kornia_views(images: Tensor, crops: Tensor, factors: Tensor) -> Tensor:
    """Views of uint8 (n, 3, s, s) by kornia's functions, of the same type, with our draws."""
    from kornia.color import hsv_to_rgb, rgb_to_hsv
    from kornia.geometry.transform import crop_and_resize

    h, s, v = rgb_to_hsv(images.float().div_(255.0)).unbind(1)
    d_h, d_s, d_v, a_s, a_v = factors.T[..., None, None]
    turn = 2 * torch.pi
    jittered = [(h + turn * d_h) % turn, (a_s * s + d_s).clamp_(0, 1), (a_v * v + d_v).clamp_(0, 1)]
    rgb = hsv_to_rgb(torch.stack(jittered, 1))
    mirror, size, x, y = crops.T
    rgb = torch.where(mirror[:, None, None, None] == 1, rgb.flip(3), rgb)
    right = x + size - 1
    bottom = y + size - 1
    boxes = torch.stack([x, y, right, y, right, bottom, x, bottom], 1).view(-1, 4, 2).float()
    views = crop_and_resize(
        rgb, boxes, (SIZE, SIZE), mode="bicubic", padding_mode="border", align_corners=True
    )

    return views.clamp_(0, 1).mul_(255.0).round_().to(torch.uint8)


def kornia_alternatives(images: np.ndarray, draws: np.ndarray) -> dict[str, Function]:
    """kornia's functions with our draws, and its classes with their own."""
    import kornia.augmentation as classes

    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    crops = torch.from_numpy(draws[:, 5:].astype(np.int64))
    factors = torch.from_numpy(JITTER.factors(draws)).float()
    smallest = (CROP_MIN / SIZE) ** 2
    view = torch.nn.Sequential(
        classes.ColorJiggle(brightness=JITTER.value, saturation=JITTER.saturation, hue=JITTER.hue),
        classes.RandomHorizontalFlip(),
        classes.RandomResizedCrop(
            (SIZE, SIZE),
            scale=(smallest, 1.0),
            ratio=(1.0, 1.0),
            resample="BICUBIC",
            cropping_mode="resample",
        ),
    )

    def functions() -> int:
        for batch in zip(
            tensors.split(BATCH), crops.split(BATCH), factors.split(BATCH), strict=True
        ):
            kornia_views(*batch)
        return len(tensors)

    def modules() -> int:
        for batch in tensors.split(BATCH):
            view(batch.float().div_(255.0)).clamp_(0, 1).mul_(255.0).round_().to(torch.uint8)
        return len(tensors)

    return {KORNIA: functions, KORNIA_CLASSES: modules}


def measure(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Rows of all peers, and how many values of the naive reference differ from ours.

    It fails if any does.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)

    # The images, their draws, and the two forms of ours.
    count, few, turns = (1024, 64, 5) if arguments.quick else (2048, 256, 9)
    images = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    index = order(0, 0, "benchmark", count)
    draws = draw(0, 0, "benchmark", count, size_px=SIZE, crop_min=CROP_MIN)
    crops = draws[:, 5:].astype(np.int64)
    factors = JITTER.factors(draws)
    kept, again = (
        Views(images, "cpu", JITTER, CROP_MIN, resident_bytes=size) for size in (2**30, 0)
    )

    def reference() -> np.ndarray:
        return np.stack([naive(images[index[i]], crops[i], factors[i]) for i in range(few)])

    # All three have to agree.
    found = kept(index, draws).numpy()
    differing = int((found[:few] != reference()).sum()) + int(
        (found != again(index, draws).numpy()).sum()
    )
    if differing:
        raise ValueError(
            f"{differing} values of ours differ from scipy and scikit-image: see tests/stages/images"
        )

    # The timings.
    alternatives: dict[str, Function] = {
        OURS: lambda: len(kept(index, draws)),
        AGAIN: lambda: len(again(index, draws)),
        NAIVE: lambda: len(reference()),
        **torchvision_alternatives(images[index], few),
        **kornia_alternatives(images[index], draws),
    }
    interleaved(alternatives, 1)  # first runs compile, import and fill caches
    costs = interleaved(alternatives, turns)
    rows = compare("augmented views, 32 px", OURS, costs, UNIT, notes=NOTES)
    compared = few * SIZE * SIZE * 3

    return rows, {
        "threads": 1,
        "images": count,
        "values_compared": compared,
        "values_differing": differing,
    }


if __name__ == "__main__":
    main("augment", __doc__ or "", measure)
