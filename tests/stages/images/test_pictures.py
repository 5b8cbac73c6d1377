"""Any picture becomes the pixels that a net takes, or is refused."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.images import colours, pictures
from stages.images.pictures import MAX_PIXELS, Fit, PictureRule, read_picture
from stages.images.sources.many import read_pictures
from tests.helpers.exports import pixels


def read(path: Path, fit: Fit = "crop", size_px: int = 32) -> tuple[np.ndarray, str]:
    """The pixels of a file, and what was done to it."""
    found = read_picture(path.read_bytes(), str(path), PictureRule(size_px, fit))
    return found.pixels, found.said


def test_a_picture_of_the_right_size_is_taken_as_it_is(tmp_path: Path) -> None:
    made = pixels()
    for name in ("a.png", "a.bmp", "a.tiff", "a.ppm"):
        Image.fromarray(made).save(tmp_path / name)
        found, done = read(tmp_path / name)
        np.testing.assert_array_equal(found, made)
        assert done == "" and found.flags.writeable

    Image.fromarray(made).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as image:
        np.testing.assert_array_equal(read(tmp_path / "a.jpg")[0], np.array(image))


def test_the_centre_square_is_cut_out(tmp_path: Path) -> None:
    made = pixels()
    for shape, at, said in (((32, 50), (0, 9), "50 x 32"), ((41, 32), (4, 0), "32 x 41")):
        whole = np.zeros((*shape, 3), np.uint8)
        whole[at[0] : at[0] + 32, at[1] : at[1] + 32] = made
        Image.fromarray(whole).save(tmp_path / "a.png")
        found, done = read(tmp_path / "a.png")
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
    found, done = read(tmp_path / "a.png")
    np.testing.assert_array_equal(found, np.array(wanted))

    assert done.startswith(f"{size[0]} x {size[1]} px: ") and done.endswith(
        "resized to 32 x 32 (bicubic)"
    )
    assert ("cut out" in done) == (size[0] != size[1])


def test_all_modes_become_rgb(tmp_path: Path) -> None:
    grey = pixels()[:, :, 0]
    path = tmp_path / "a.png"
    threefold = np.repeat(grey[:, :, None], 3, axis=2)

    def written(image: Image.Image, **more: Any) -> np.ndarray:
        image.save(path, **more)
        return read(path)[0]

    np.testing.assert_array_equal(written(Image.fromarray(grey)), threefold)
    np.testing.assert_array_equal(
        written(Image.fromarray(grey.astype(np.uint16) * 256 + 77)), threefold
    )
    np.testing.assert_array_equal(written(Image.fromarray(threefold).quantize(256)), threefold)
    black_white = Image.fromarray((grey > 127) * np.uint8(255)).convert("1")
    np.testing.assert_array_equal(written(black_white), (threefold > 127) * 255)
    alpha = np.where(grey > 100, 255, 0).astype(np.uint8)[:, :, None]
    wanted = np.where(alpha == 255, pixels(), 255)
    np.testing.assert_array_equal(
        written(Image.fromarray(np.concatenate([pixels(), alpha], axis=2))), wanted
    )
    grey_alpha = Image.fromarray(np.concatenate([threefold[:, :, :1], alpha], axis=2))
    np.testing.assert_array_equal(written(grey_alpha), np.where(alpha == 255, threefold, 255))
    path = tmp_path / "a.jpg"
    cmyk = Image.fromarray(pixels()).convert("CMYK")

    assert written(cmyk, quality=95).shape == (32, 32, 3)


def test_exif_says_how_a_picture_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0], np.rot90(pixels(), -1))


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
            with pytest.raises(
                ValueError, match="not a readable picture|damaged picture"
            ) as caught:
                read(path)
            assert "\n" not in str(caught.value), kind


def saved(path: Path, image: Image.Image, **more: Any) -> Path:
    """The image as a file of that name."""
    image.save(path, **more)
    return path


def test_turning_comes_before_the_size(tmp_path: Path) -> None:
    """A photo that lies on its side: 40 x 32 px in the file, 32 x 40 px to look at."""
    exif = Image.Exif()
    exif[0x0112] = 8
    lying = np.resize(pixels(3, 64), (32, 40, 3))
    for name in ("a.png", "a.tif"):
        path = saved(tmp_path / name, Image.fromarray(lying), exif=exif)
        with pytest.raises(ValueError, match=rf"{name}: 32 x 40 px, wanted 32 x 32"):
            read(path, "exact")
        found, done = read(path)
        assert done == "32 x 40 px: the centre 32 x 32 cut out"
        np.testing.assert_array_equal(found, np.rot90(lying)[4:36])


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16"])
def test_a_transparent_colour_becomes_white(tmp_path: Path, mode: str) -> None:
    """PNG can name one level or colour that is transparent, also with 16 bits."""
    grey = pixels()[:, :, 0] // 2
    grey[:16] = 7
    wanted = np.where((grey == 7)[..., None], 255, grey[..., None]).repeat(3, axis=2)
    image, key = {
        "RGB": lambda: (Image.fromarray(grey[..., None].repeat(3, axis=2)), (7, 7, 7)),
        "L": lambda: (Image.fromarray(grey), 7),
        "P": lambda: (Image.fromarray(grey).convert("P"), 7),
        "I;16": lambda: (Image.fromarray(grey.astype(np.uint16) * 256), 7 * 256),
    }[mode]()
    path = saved(tmp_path / "a.png", image, transparency=key)
    with Image.open(path) as opened:
        assert opened.mode == mode and "transparency" in opened.info
    np.testing.assert_array_equal(read(path)[0], wanted)


def test_scans_whose_zero_is_white_are_turned_for_any_depth(tmp_path: Path) -> None:
    """Pillow inverts such TIFF files of 8 bits and leaves those of 16."""
    grey = pixels()[:, :, 0]
    threefold = grey[..., None].repeat(3, axis=2)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    # Pillow writes 8 bits as the tag says, and 16 bits as they are.
    meant = {"8.tif": threefold, "16.tif": 255 - threefold}
    for name, image in (("8.tif", Image.fromarray(grey)), ("16.tif", deep)):
        path = saved(tmp_path / name, image, tiffinfo={262: 0})
        with Image.open(path) as opened:
            assert opened.tag_v2[262] == 0
        np.testing.assert_array_equal(read(path)[0], meant[name])


def test_pixels_without_a_range_and_other_files_are_refused(tmp_path: Path) -> None:
    whole = Image.fromarray(pixels()[:, :, 0].astype(np.int32))
    files = {
        "mode I": saved(tmp_path / "i.tif", whole),
        "mode F": saved(tmp_path / "f.tif", whole.convert("F")),
    }
    (tmp_path / "photo.heic").write_bytes(bytes(4) + b"ftypheic" + bytes(40))
    files["it is HEIC"] = tmp_path / "photo.heic"
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    files["none of the formats"] = tmp_path / "a.eps"
    for words, path in files.items():
        with pytest.raises(ValueError, match=words) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)


def test_too_many_pixels_are_refused_by_the_header(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = f"P6 {side} {side} 255\n".encode()
    (tmp_path / "large.ppm").write_bytes(header)
    with pytest.raises(ValueError, match=f"{side} x {side} px, allowed are 67,108,864 pixels"):
        read(tmp_path / "large.ppm")


def test_padding_is_white_and_keeps_the_shape(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (64, 16), "black"))
    found, done = read(path, "pad")
    assert done == "64 x 16 px: resized into 32 x 32, white on both sides (bicubic)"
    np.testing.assert_array_equal(found[:12], np.full((12, 32, 3), 255))
    np.testing.assert_array_equal(found[12:20], np.zeros((8, 32, 3)))
    np.testing.assert_array_equal(found[20:], np.full((12, 32, 3), 255))


def test_stretching_takes_all_of_the_picture(tmp_path: Path) -> None:
    image = Image.fromarray(np.resize(pixels(4, 64), (20, 50, 3)))
    path = saved(tmp_path / "a.png", image)
    found, done = read(path, "stretch")
    wanted = np.array(image.resize((32, 32), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(found, wanted)
    assert done == "50 x 20 px: resized to 32 x 32 (bicubic)"


def test_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "a.webp", "a.tif", "a.avif"):
        path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
        mean = read(path)[0].mean((0, 1))
        assert mean[0] > 240 and mean[2] < 15, name


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="fit is 'cut', allowed are exact, crop, pad, stretch"):
        PictureRule(32, "cut")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA", "P", "L", "RGB"])
def test_white_behind_pieces_is_that_behind_the_whole(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The same pixels as of one composition, which takes three copies of the picture."""
    levels = np.random.default_rng(0).integers(0, 256, (37, 29, 4), dtype=np.uint8)
    image = Image.fromarray(levels)
    if kind in ("P", "L", "RGB"):
        image = image.convert("RGB").quantize(16) if kind == "P" else image.convert(kind)
        first = image.getpixel((3, 3))
        image.info["transparency"] = first
    elif kind == "PA":
        image = image.convert("RGB").quantize(16).convert("PA")
        image.putalpha(Image.fromarray(levels[..., 3]))
    else:
        image = image.convert(kind)

    white = Image.new("RGBA", image.size, "white")
    wanted = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    for piece in (1, 29 * 8, 1 << 20):
        monkeypatch.setattr(colours, "PIECE_PIXELS", piece)
        np.testing.assert_array_equal(colours.on_white(image), wanted)


@pytest.mark.parametrize(
    ("size", "at_most"), [((256, 256), 2), ((128, 128), 8)], ids=["large", "small"]
)
def test_few_large_pictures_are_decoded_at_once(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], at_most: int
) -> None:
    monkeypatch.setattr(pictures, "LARGE_PIXELS", 200 * 200)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    running: list[int] = []
    most: list[int] = []
    convert = pictures.rgb

    def slow(*given: Any) -> Image.Image:
        running.append(0)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        return convert(*given)

    monkeypatch.setattr(pictures, "rgb", slow)
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "PNG")
    items = [(str(place), stream.getvalue) for place in range(12)]
    read_pictures(12, items, PictureRule(8, "crop"))
    assert max(most) <= at_most and (max(most) > 2) == (at_most > 2)


@pytest.mark.parametrize("most", [65535, 4095, 1023])
def test_grey_portable_maps_of_16_bits_are_read_by_their_range(tmp_path: Path, most: int) -> None:
    levels = np.linspace(0, most, 32 * 32).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(f"P5 32 32 {most}\n".encode() + levels.tobytes())
    wanted = np.round(levels.astype(float) / most * 65535).astype(int) >> 8
    found = read(tmp_path / "a.pgm")[0]
    np.testing.assert_array_equal(found, wanted.reshape(32, 32, 1).repeat(3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_size_by_the_header_and_boxes_are_of_the_upright_picture(
    kind: str, orientation: int
) -> None:
    rng = np.random.default_rng(orientation)
    image = Image.fromarray(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif)
    whole = read_picture(stream.getvalue(), "x", PictureRule(8, "pad"))
    assert pictures.picture_size(stream.getvalue(), "x") == (whole.width, whole.height)

    side = min(whole.width, whole.height)
    corner = read_picture(stream.getvalue(), "x", PictureRule(side), (0, 0, side, side)).pixels
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(stream.getvalue()))))
    np.testing.assert_array_equal(corner, upright[:side, :side])
