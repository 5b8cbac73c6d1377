"""Any picture becomes the pixels that a net takes, or is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands.models.pictures import read_picture
from tests.helpers.exports import pixels


def test_a_picture_of_the_right_size_is_taken_as_it_is(tmp_path: Path) -> None:
    made = pixels()
    for name in ("a.png", "a.bmp", "a.tiff", "a.ppm"):
        Image.fromarray(made).save(tmp_path / name)
        found, done = read_picture(tmp_path / name, 32)
        np.testing.assert_array_equal(found, made)
        assert done == "" and found.flags.writeable

    Image.fromarray(made).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as image:
        np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg", 32)[0], np.array(image))


def test_the_centre_square_is_cut_out(tmp_path: Path) -> None:
    made = pixels()
    for shape, at, said in (((32, 50), (0, 9), "50 x 32"), ((41, 32), (4, 0), "32 x 41")):
        whole = np.zeros((*shape, 3), np.uint8)
        whole[at[0] : at[0] + 32, at[1] : at[1] + 32] = made
        Image.fromarray(whole).save(tmp_path / "a.png")
        found, done = read_picture(tmp_path / "a.png", 32)
        np.testing.assert_array_equal(found, made)
        assert done == f"{said} px: the centre 32 x 32 cut out"


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (100, 100), (300, 64)])
def test_other_sizes_are_resized_as_pil_does(size: tuple[int, int], tmp_path: Path) -> None:
    image = Image.fromarray(np.resize(pixels(2, 64), (size[1], size[0], 3)))
    image.save(tmp_path / "a.png")
    side = min(size)
    left = (size[0] - min(size)) // 2
    top = (size[1] - min(size)) // 2
    square = np.array(image)[top : top + side, left : left + side]
    wanted = Image.fromarray(square).resize((32, 32), Image.Resampling.BICUBIC)
    found, done = read_picture(tmp_path / "a.png", 32)
    np.testing.assert_array_equal(found, np.array(wanted))

    assert done.startswith(f"{size[0]} x {size[1]} px: ") and done.endswith(
        "resized to 32 x 32 (bicubic)"
    )
    assert ("cut out" in done) == (size[0] != size[1])


def test_all_modes_become_rgb(tmp_path: Path) -> None:
    grey = pixels()[:, :, 0]
    path = tmp_path / "a.png"
    threefold = np.repeat(grey[:, :, None], 3, axis=2)

    def read(image: Image.Image, **more: Any) -> np.ndarray:
        image.save(path, **more)
        return read_picture(path, 32)[0]

    np.testing.assert_array_equal(read(Image.fromarray(grey)), threefold)
    np.testing.assert_array_equal(
        read(Image.fromarray(grey.astype(np.uint16) * 256 + 77)), threefold
    )
    np.testing.assert_array_equal(read(Image.fromarray(threefold).quantize(256)), threefold)
    black_white = Image.fromarray((grey > 127) * np.uint8(255)).convert("1")
    np.testing.assert_array_equal(read(black_white), (threefold > 127) * 255)
    alpha = np.where(grey > 100, 255, 0).astype(np.uint8)[:, :, None]
    wanted = np.where(alpha == 255, pixels(), 255)
    np.testing.assert_array_equal(
        read(Image.fromarray(np.concatenate([pixels(), alpha], axis=2))), wanted
    )
    grey_alpha = Image.fromarray(np.concatenate([threefold[:, :, :1], alpha], axis=2))
    np.testing.assert_array_equal(read(grey_alpha), np.where(alpha == 255, threefold, 255))
    path = tmp_path / "a.jpg"
    cmyk = Image.fromarray(pixels()).convert("CMYK")

    assert read(cmyk, quality=95).shape == (32, 32, 3)


def test_exif_says_how_a_picture_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 32)[0], np.rot90(pixels(), -1))


def test_truncated_pictures_are_refused_in_one_line(tmp_path: Path) -> None:
    files = {
        "png": {},
        "jpeg": {"quality": 90},
        "gif": {},
        "webp": {"lossless": True},
        "tiff": {},
        "bmp": {},
    }

    for kind, options in files.items():
        data = io.BytesIO()
        Image.fromarray(pixels()).save(data, kind, **options)
        for stop in range(0, len(data.getvalue()) - 24, max(1, len(data.getvalue()) // 25)):
            path = tmp_path / f"cut.{kind}"
            path.write_bytes(data.getvalue()[:stop])
            with pytest.raises(ValueError, match="not a readable image") as caught:
                read_picture(path, 32)
            assert "\n" not in str(caught.value), kind
