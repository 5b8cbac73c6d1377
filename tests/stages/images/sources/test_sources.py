"""The sources of images: what they return, and what each refuses."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from stages.images.sources.archives import cifar10, cifar100, svhn
from stages.images.sources.digits import DigitsSettings, _pool, cluttered_digits
from stages.images.sources.folder import image_folder
from stages.images.sources.labelled import Labelled, checked_labels
from stages.images.sources.parquet import parquet
from tools.pocket import ROOT


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMICNETS_OFFLINE", "1")
    monkeypatch.delenv("MIMICNETS_DATA", raising=False)


def pixels(n: int, seed: int = 0, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def bomb(side: int) -> bytes:
    """A PNG whose header promises side x side pixels and whose data hold none."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = part(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + data + part(b"IEND", b"")


def one_line(error: pytest.ExceptionInfo[Exception], *words: object) -> None:
    """The message is one line and has all the words."""
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


# Labelled


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (pixels(3).astype(np.float64), np.zeros(3, np.int64)),
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


def test_labels_out_of_range_name_file_and_row() -> None:
    assert checked_labels(np.array([0, 9], np.uint8), 10, "f").dtype == np.int64
    for bad in (-1, 10):
        with pytest.raises(ValueError, match=f"f: row 1 has label {bad}, allowed are 0 to 9"):
            checked_labels(np.array([0, bad]), 10, "f")


# cluttered digits


def test_digits_shapes_and_balance() -> None:
    pool, test, classes = cluttered_digits(0, 300, 100, 200)
    assert pool.images.shape == (400, 32, 32, 3) and test.images.shape == (200, 32, 32, 3)
    assert classes == tuple("0123456789")
    assert np.bincount(pool.labels, minlength=10).min() > 15


def test_a_larger_set_extends_a_smaller_one() -> None:
    small, small_test, _ = cluttered_digits(3, 20, 10, 5)
    large, large_test, _ = cluttered_digits(3, 40, 30, 15)
    np.testing.assert_array_equal(small.images[:20], large.images[:20])
    np.testing.assert_array_equal(small.images[20:], large.images[40:50])
    np.testing.assert_array_equal(small.labels[20:], large.labels[40:50])
    np.testing.assert_array_equal(small_test.images, large_test.images[:5])


def test_splits_share_no_digit_and_keep_the_classes() -> None:
    from sklearn.datasets import load_digits

    target = load_digits().target
    for seed in (0, 1):
        pools = {split: _pool(seed, split) for split in ("train", "validation", "test")}
        np.testing.assert_array_equal(
            np.sort(np.concatenate(list(pools.values()))), np.arange(len(target))
        )
        for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            counts = np.bincount(target[pools[split]]) / np.bincount(target)
            np.testing.assert_allclose(counts, share, atol=0.01)
    assert not np.array_equal(_pool(0, "test"), _pool(1, "test"))


def test_digits_without_distractions_are_the_digits_themselves() -> None:
    """At full contrast, ink is where scikit-learn's digit has ink."""
    from scipy import ndimage
    from sklearn.datasets import load_digits

    plain = DigitsSettings(
        digit_min_px=32,
        digit_max_px=32,
        centre_jitter_px=0,
        rotation_degrees=0,
        clutter_pieces=0,
        contrast=1,
        noise=0,
    )
    _, test, _ = cluttered_digits(0, 0, 0, 40, plain)
    ink = test.images.max(3) / 255
    digits = load_digits()
    for image, label in zip(ink, test.labels, strict=True):
        small = ndimage.zoom(image, 0.25, order=1, grid_mode=True, mode="nearest")
        distance = np.abs(digits.images / 16 - small).mean((1, 2))
        assert digits.target[distance.argmin()] == label and distance.min() < 0.08


def test_digits_do_differ_from_each_other_and_between_seeds() -> None:
    first, _, _ = cluttered_digits(0, 30, 0, 0)
    second, _, _ = cluttered_digits(1, 30, 0, 0)
    assert len({image.tobytes() for image in [*first.images, *second.images]}) == 60


def test_golden_digits() -> None:
    """Renew only when a change of the embedded data set is intended."""
    pool, test, _ = cluttered_digits(0, 60, 20, 20)
    bytes_ = [part.tobytes() for data in (pool, test) for part in (data.images, data.labels)]
    found = hashlib.sha256(b"".join(bytes_)).hexdigest()
    assert found == "d4c38e1cf8997428dc541c50edd154264967da7852cc4bfd8e5ca1ae2b8144f2", (
        f"digits changed; if intended, put {found} here"
    )


def test_digits_refuse() -> None:
    for arguments in ((-1, 1, 1, 1), (2**32, 1, 1, 1), (0, -1, 1, 1)):
        with pytest.raises(ValueError, match="allowed are integers"):
            cluttered_digits(*arguments)
    for settings in ({"contrast": 2.0}, {"digit_min_px": 30.0}, {"clutter_px": 0}, {"octaves": 9}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            DigitsSettings(**settings)


# parquet


def table(
    images: list[object],
    labels: list[int | None],
    names: tuple[str, str] = ("img", "label"),
    classes: list[str] | None = None,
) -> pa.Table:
    rows = [{"bytes": image, "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    made = pa.table({names[0]: pa.array(rows, kind), names[1]: pa.array(labels, pa.int64())})
    if classes:
        features = {names[1]: {"names": classes, "_type": "ClassLabel"}}
        metadata = json.dumps({"info": {"features": features}})
        made = made.replace_schema_metadata({"huggingface": metadata})
    return made


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """12 training images in two files and 5 test images, as PNG."""
    train, test = pixels(12), pixels(5, seed=1)
    parts = {
        "train-00000-of-00002": (train[:7], range(7)),
        "train-00001-of-00002": (train[7:], [7, 8, 9, 0, 1]),
        "test-00000-of-00001": (test, range(5)),
    }
    for name, (images, labels) in parts.items():
        pq.write_table(table([encoded(i) for i in images], [*labels]), tmp_path / f"{name}.parquet")
    return tmp_path


def test_parquet_reads_all_rows_in_order(hub: Path) -> None:
    train, test, classes = parquet(hub)
    np.testing.assert_array_equal(train.images, pixels(12))
    np.testing.assert_array_equal(train.labels, [*range(10), 0, 1])
    np.testing.assert_array_equal(test.images, pixels(5, seed=1))
    assert classes == tuple("0123456789")


def test_parquet_decodes_selected_rows_only(hub: Path) -> None:
    broken = table([b"no image"] * 5, [*range(5)])
    pq.write_table(broken, hub / "train-00001-of-00002.parquet")
    train, test, _ = parquet(hub, rows={"train": [6, 0, 3], "test": []})
    np.testing.assert_array_equal(train.images, pixels(12)[[6, 0, 3]])
    np.testing.assert_array_equal(train.labels, [6, 0, 3])
    assert test.images.shape == (0, 32, 32, 3)
    for bad in (-1, 12):
        with pytest.raises(ValueError, match="allowed are 0 to 11"):
            parquet(hub, rows={"train": [bad]})
    with pytest.raises(ValueError, match="'validation'"):
        parquet(hub, rows={"validation": [0]})


def test_parquet_selected_rows_across_files(hub: Path) -> None:
    train, _, _ = parquet(hub, rows={"train": [8, 6, 7]})
    np.testing.assert_array_equal(train.images, pixels(12)[[8, 6, 7]])
    np.testing.assert_array_equal(train.labels, [8, 6, 7])


def test_parquet_other_columns_class_names_and_jpeg(tmp_path: Path) -> None:
    grey = np.full((32, 32), 77, np.uint8)
    for split in ("train", "test"):
        made = table([encoded(grey, "JPEG")], [2], ("image", "fine_label"), ["a", "b", "c"])
        pq.write_table(made, tmp_path / f"{split}-00000-of-00001.parquet")
    train, _, classes = parquet(tmp_path)
    assert classes == ("a", "b", "c") and train.labels.tolist() == [2]
    assert np.abs(train.images.astype(int) - 77).max() <= 2


def test_parquet_starts_at_the_data_folder(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMICNETS_DATA", str(hub.parent))
    assert len(parquet(hub.name)[0].labels) == 12


PNG = encoded(pixels(1)[0])


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ([PNG, PNG], [0, 10], ("row 1", "label 10", "0 to 9")),
        ([PNG, PNG], [0, -1], ("row 1", "label -1")),
        ([PNG, PNG], [0, None], ("row 1", "no label")),
        ([PNG, None], [0, 1], ("row 1", "no bytes")),
        ([PNG, b"hello"], [0, 1], ("row 1", "not a readable PNG or JPEG")),
        ([PNG, PNG[:200]], [0, 1], ("row 1", "damaged")),
        ([PNG, encoded(pixels(1, size=28)[0])], [0, 1], ("row 1", "28 x 28", "32 x 32")),
        ([encoded(pixels(1)[0][:20])], [0], ("row 0", "32 x 20", "squares")),
        ([bomb(4000)], [0], ("row 0", "4000 x 4000")),
        ([bomb(60000)], [0], ("row 0", "decompression bomb")),
        ([], [], ("no rows",)),
    ],
)
def test_parquet_refuses_rows(
    hub: Path, images: list[object], labels: list[int | None], words: tuple[str, ...]
) -> None:
    for old in hub.glob("train-*"):
        old.unlink()
    file = hub / "train-00000-of-00001.parquet"
    pq.write_table(table(images, labels), file)
    with pytest.raises(ValueError) as error:
        parquet(hub)
    one_line(error, file, *words)


def test_parquet_refuses_colour_modes(hub: Path) -> None:
    rgba = np.zeros((32, 32, 4), np.uint8)
    pq.write_table(table([encoded(rgba)], [0]), hub / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError) as error:
        parquet(hub)
    one_line(error, "test-00000-of-00001.parquet, row 0", "RGBA")


def test_parquet_refuses_test_images_of_another_size(hub: Path) -> None:
    small = encoded(pixels(1, size=28)[0])
    pq.write_table(table([small], [0]), hub / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="28 x 28 px, allowed is 32 x 32"):
        parquet(hub)


def test_parquet_refuses_missing_files(hub: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        parquet(hub / "nowhere")
    one_line(error, hub / "nowhere", "prepare.path")
    (hub / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError) as error:
        parquet(hub)
    one_line(error, "train-00000-of-00002.parquet", "one of 2")
    (hub / "test-00000-of-00001.parquet").unlink()
    (hub / "train-00000-of-00002.parquet").rename(hub / "train-0.parquet")
    with pytest.raises(FileNotFoundError, match="no test-"):
        parquet(hub)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4:60] = bytes(56)
    file.write_bytes(data)


def columns(**made: object) -> Callable[[Path], None]:
    return lambda file: pq.write_table(pa.table(made), file)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, ("not a readable parquet",)),
        (flip, ()),
        (lambda file: file.write_bytes(b""), ("not a readable parquet",)),
        (columns(a=[1], b=[2]), ("columns a, b", "img or image")),
        (columns(img=[b""], label=[1]), ("column img is binary",)),
        (columns(img=[{"bytes": b""}], label=["x"]), ("column label is string",)),
    ],
)
def test_parquet_refuses_files(
    hub: Path, damage: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    file = hub / "train-00000-of-00002.parquet"
    damage(file)
    with pytest.raises(ValueError) as error:
        parquet(hub)
    one_line(error, file, *words)


def test_parquet_real_cifar10() -> None:
    path = os.environ.get("MIMICNETS_CIFAR10_PARQUET")
    if not path:
        pytest.skip("MIMICNETS_CIFAR10_PARQUET is not set: it names a folder with CIFAR-10")
    train, test, classes = parquet(path)
    assert train.images.shape == (50000, 32, 32, 3) and test.images.shape == (10000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(train.labels), [5000] * 10)
    np.testing.assert_array_equal(np.bincount(test.labels), [1000] * 10)
    assert len(classes) == 10


# image folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of 6 training images and 2 test images; the last ones are JPEG."""
    for split, count in (("train", 6), ("test", 2)):
        for c, name in enumerate(("cat", "ant")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(count - 1):
                (folder / f"{i}.png").write_bytes(
                    encoded(np.full((8, 8, 3), 100 * c + i, np.uint8))
                )
            grey = np.full((8, 8), 100 * c + count - 1, np.uint8)
            (folder / "z.JPG").write_bytes(encoded(grey, "JPEG"))
    (tmp_path / "train" / ".DS_Store").write_bytes(b"")
    return tmp_path


def test_folder_mixes_classes_and_keeps_labels(tree: Path) -> None:
    train, test, classes = image_folder(tree)
    assert classes == ("ant", "cat")
    assert train.images.shape == (12, 8, 8, 3) and test.images.shape == (4, 8, 8, 3)
    np.testing.assert_array_equal(train.labels, (train.images[:, 0, 0, 0] < 90).astype(int))
    assert sorted(train.images[:, 0, 0, 0]) == [*range(6), *range(100, 106)]
    assert np.abs(np.diff(train.labels)).sum() > 2
    names = [f"{c}/{f}" for c in classes for f in ("0.png", "1.png", "2.png", "3.png", "4.png")]
    names = sorted(
        [*names, "ant/z.JPG", "cat/z.JPG"], key=lambda n: hashlib.sha256(n.encode()).digest()
    )
    assert [classes.index(n.split("/")[0]) for n in names] == train.labels.tolist()


def _drop(tree: Path) -> Path:
    for file in (tree / "test" / "cat").iterdir():
        file.unlink()
    return tree / "test" / "cat"


def _put(name: str, data: bytes) -> Callable[[Path], Path]:
    def put(tree: Path) -> Path:
        file = tree / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        return file

    return put


SMALL = encoded(pixels(1, size=8)[0])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_put("train/cat/x.png", b"text"), ("not a readable",)),
        (_put("train/cat/x.png", SMALL[:100]), ("damaged",)),
        (_put("test/cat/x.png", encoded(pixels(1, size=9)[0])), ("9 x 9", "8 x 8")),
        (_put("train/cat/x.png", bomb(60000)), ("not a readable", "bomb")),
        (_put("train/cat/x.txt", b"text"), (".jpeg",)),
        (_put("train/x.png", SMALL), ("class folders",)),
        (_put("test/dog/x.png", SMALL), ()),
        (_drop, ("no images",)),
    ],
)
def test_folder_refuses(tree: Path, damage: Callable[[Path], Path], words: tuple[str, ...]) -> None:
    file = damage(tree)
    with pytest.raises(ValueError) as error:
        image_folder(tree, 8)
    one_line(error, file.parent if file.parent.name == "dog" else file, *words)


def test_folder_refuses_another_size_than_asked(tree: Path) -> None:
    with pytest.raises(ValueError, match="8 x 8 px, allowed is 32 x 32"):
        image_folder(tree, 32)


def test_folder_refuses_missing_folders(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_folder(tree / "nowhere")
    (tree / "test").rename(tree / "tset")
    with pytest.raises(FileNotFoundError) as error:
        image_folder(tree)
    one_line(error, tree / "test")


# archives


class Evil:
    """Unpickles into a file: a trap that shows whether anything was opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (self.trace,)  # type: ignore[return-value]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable, type, Path, bytes]:
    """Loader, torchvision class, data folder with the unpacked files, and the archive's bytes."""
    ten = request.param == "cifar10"
    dataset = datasets.CIFAR10 if ten else datasets.CIFAR100
    loader = cifar10 if ten else cifar100
    folder = tmp_path / "data"
    inside = folder / dataset.base_folder
    inside.mkdir(parents=True)
    key = "labels" if ten else "fine_labels"
    for which in ("train_list", "test_list"):
        made = []
        for k, (name, _) in enumerate(getattr(dataset, which)):
            flat = pixels(4, seed=k).transpose(0, 3, 1, 2).reshape(4, -1)
            data = pickle.dumps({"data": flat, key: [k, 1, 2, 3]})
            (inside / name).write_bytes(data)
            made.append([name, md5(data)])
        monkeypatch.setattr(dataset, which, made)
    data = pickle.dumps({dataset.meta["key"]: [f"class {i}" for i in range(10)]})
    (inside / dataset.meta["filename"]).write_bytes(data)
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": md5(data)})
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        packed.add(inside, dataset.base_folder)
    archive = stream.getvalue()
    monkeypatch.setattr(dataset, "tgz_md5", md5(archive))
    sha256 = hashlib.sha256(archive).hexdigest()
    monkeypatch.setattr(
        sys.modules["stages.images.sources.archives"], "_SHA256", {dataset.filename: sha256}
    )
    return loader, dataset, folder, archive


def packed_only(dataset: type, folder: Path, archive: bytes) -> Path:
    for file in (folder / dataset.base_folder).iterdir():
        file.unlink()
    (folder / dataset.base_folder).rmdir()
    (folder / dataset.filename).write_bytes(archive)
    return folder / dataset.filename


def test_cifar_from_files_and_from_the_archive(cifar: tuple) -> None:
    loader, dataset, folder, archive = cifar
    unpacked = loader(folder)
    packed_only(dataset, folder, archive)
    for train, test, classes in (unpacked, loader(folder)):
        batches = len(dataset.train_list)
        wanted = np.concatenate([pixels(4, seed=k) for k in range(batches)])
        np.testing.assert_array_equal(train.images, wanted)
        np.testing.assert_array_equal(train.labels.reshape(-1, 4)[:, 0], np.arange(batches))
        np.testing.assert_array_equal(test.images, pixels(4))
        assert classes[3] == "class 3"
    assert listing(folder) == [dataset.filename]


def test_cifar_unpickles_nothing_unverified(cifar: tuple, tmp_path: Path) -> None:
    loader, dataset, folder, _ = cifar
    trace = tmp_path / "opened"
    evil = pickle.dumps(Evil(trace))
    pickle.loads(evil)
    assert trace.exists()  # the trap works
    trace.unlink()
    inside = folder / dataset.base_folder
    for name in (dataset.train_list[0][0], dataset.test_list[0][0], dataset.meta["filename"]):
        good = (inside / name).read_bytes()
        (inside / name).write_bytes(evil)
        with pytest.raises(ValueError) as error:
            loader(folder)
        one_line(error, inside, "corrupt", "prepare.path")
        assert not trace.exists()
        (inside / name).write_bytes(good)
    loader(folder)


def test_cifar_refuses_a_damaged_archive(cifar: tuple) -> None:
    loader, dataset, folder, archive = cifar
    for data in (archive[:-50], b"", archive[:100] + b"?" + archive[101:]):
        file = (
            packed_only(dataset, folder, data)
            if (folder / dataset.base_folder).exists()
            else (folder / dataset.filename)
        )
        file.write_bytes(data)
        with pytest.raises(ValueError) as error:
            loader(folder)
        one_line(error, file, "corrupt", md5(data), dataset.tgz_md5, dataset.url)
        assert listing(folder) == [dataset.filename]


def test_cifar_sha256_is_checked_beside_md5(cifar: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, dataset, folder, archive = cifar
    file = packed_only(dataset, folder, archive + b"more")
    monkeypatch.setattr(dataset, "tgz_md5", md5(archive + b"more"))
    with pytest.raises(ValueError) as error:
        loader(folder)
    one_line(error, file, "sha256")


def test_cifar_refuses_missing_data_offline(cifar: tuple, tmp_path: Path) -> None:
    loader, dataset, _, _ = cifar
    empty = tmp_path / "empty"
    with pytest.raises(FileNotFoundError) as error:
        loader(empty)
    one_line(error, empty / dataset.filename, "MIMICNETS_OFFLINE", dataset.url, "prepare.source")
    assert not empty.exists()


def test_cifar_refuses_missing_data_without_download(
    cifar: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIMICNETS_OFFLINE")
    with pytest.raises(FileNotFoundError, match="download is off"):
        cifar[0](tmp_path / "empty", download=False)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict]]:
    """A local server with ranges: its URL, and `state` with its data, cut and ranges seen."""
    state: dict = {"data": b"", "cut": None, "ranges": []}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state["ranges"].append(asked)
            start = int(asked[6:-1]) if asked else 0
            rest = state["data"][start:]
            if asked and not rest:
                self.send_error(416)
                return
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: state["cut"]])

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.delenv("MIMICNETS_OFFLINE")
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a", state
    server.shutdown()
    server.server_close()


def test_cifar_download_resumes_verifies_and_renames(
    cifar: tuple, host: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (loader, dataset, folder, archive), (url, state) = cifar, host
    monkeypatch.setattr(dataset, "url", url)
    target = tmp_path / "new"
    state.update(data=archive, cut=300)
    with pytest.raises(FileNotFoundError) as error:
        loader(target)
    one_line(error, target / dataset.filename, url, "run again")
    assert listing(target) == [dataset.filename + ".part"]
    state["cut"] = None
    train, _, _ = loader(target)
    assert state["ranges"] == [None, "bytes=300-"]
    np.testing.assert_array_equal(train.images, loader(folder)[0].images)
    assert listing(target) == [dataset.filename]


def test_cifar_refuses_a_wrong_download(
    cifar: tuple, host: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (loader, dataset, _, _), (url, state) = cifar, host
    monkeypatch.setattr(dataset, "url", url)
    state["data"] = b"<html>not here</html>"
    with pytest.raises(ValueError, match="corrupt"):
        loader(tmp_path / "new")
    assert listing(tmp_path / "new") == []


@pytest.fixture
def house_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = dict(datasets.SVHN.split_list)
    for k, split in enumerate(("train", "test")):
        file = tmp_path / f"{split}_32x32.mat"
        labels = np.array([[10], [1], [9]], np.uint8)
        savemat(file, {"X": pixels(3, seed=k).transpose(1, 2, 3, 0), "y": labels})
        made[split] = [made[split][0], file.name, md5(file.read_bytes())]
    monkeypatch.setattr(datasets.SVHN, "split_list", made)
    return tmp_path


def test_svhn(house_numbers: Path) -> None:
    train, test, classes = svhn(house_numbers)
    np.testing.assert_array_equal(train.images, pixels(3))
    np.testing.assert_array_equal(test.images, pixels(3, seed=1))
    assert train.labels.tolist() == [0, 1, 9] and classes == tuple("0123456789")


def test_svhn_refuses(house_numbers: Path) -> None:
    file = house_numbers / "test_32x32.mat"
    data = file.read_bytes()
    for bad in (data[:-10], b"text"):
        file.write_bytes(bad)
        with pytest.raises(ValueError) as error:
            svhn(house_numbers)
        one_line(error, file, "corrupt")
    file.unlink()
    with pytest.raises(FileNotFoundError) as error:
        svhn(house_numbers)
    one_line(error, file, "MIMICNETS_OFFLINE")


def test_importing_the_sources_is_light() -> None:
    """numpy and scipy only: the heavy libraries are imported by the source that needs them."""
    import subprocess

    code = (
        "import sys, stages.images.sources.archives, stages.images.sources.digits, "
        "stages.images.sources.parquet, stages.images.sources.folder; "
        "heavy = ('torch', 'torchvision', 'sklearn', 'pyarrow', 'PIL'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
