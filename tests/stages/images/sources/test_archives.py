"""CIFAR and SVHN: checksums before anything is opened, downloads that resume."""

from __future__ import annotations

import hashlib
import http.server
import io
import pickle
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from torchvision import datasets

from stages.images.sources import archives
from stages.images.sources.archives import cifar10, cifar100, svhn
from tests.helpers.image_files import one_line, pixels


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


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
    for source in (unpacked, loader(folder)):
        train, test, classes = source.train, source.test, source.classes
        batches = len(dataset.train_list)
        wanted = np.concatenate([pixels(4, seed=k) for k in range(batches)])
        np.testing.assert_array_equal(train.images, wanted)
        np.testing.assert_array_equal(train.labels.reshape(-1, 4)[:, 0], np.arange(batches))
        np.testing.assert_array_equal(test.images, pixels(4))
        assert classes[3] == "class 3"
    assert listing(folder) == [dataset.filename]


def test_the_unpacked_folder_itself_under_any_name(cifar: tuple) -> None:
    loader, dataset, folder, _ = cifar
    inside = folder / dataset.base_folder
    wanted = loader(folder)
    np.testing.assert_array_equal(loader(inside).train.images, wanted.train.images)
    moved = inside.rename(folder / "mine")
    np.testing.assert_array_equal(loader(moved).train.labels, wanted.train.labels)


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
    train = loader(target).train
    assert state["ranges"] == [None, "bytes=300-"]
    np.testing.assert_array_equal(train.images, loader(folder).train.images)
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
    source = svhn(house_numbers)
    assert source.test is not None and source.validation is None
    np.testing.assert_array_equal(source.train.images, pixels(3))
    np.testing.assert_array_equal(source.test.images, pixels(3, seed=1))
    assert source.train.labels.tolist() == [0, 1, 9] and source.classes == tuple("0123456789")


def test_the_extra_part_of_svhn_is_mixed_with_the_training_images(
    house_numbers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an order that is the same everywhere, so that either end has both kinds."""
    with pytest.raises(FileNotFoundError, match="extra_32x32.mat"):
        svhn(house_numbers, extra=True)

    file = house_numbers / "extra_32x32.mat"
    labels = np.array([[2], [10], [3], [4]], np.uint8)
    savemat(file, {"X": pixels(4, seed=7).transpose(1, 2, 3, 0), "y": labels})
    made = {**datasets.SVHN.split_list, "extra": ["url", file.name, md5(file.read_bytes())]}
    monkeypatch.setattr(datasets.SVHN, "split_list", made)

    order = [3, 2, 1, 6, 0, 4, 5]
    wanted = np.concatenate([pixels(3), pixels(4, seed=7)])[order]
    for piece in (archives.PIECE_BYTES, 3 * 32**2 * 2):
        monkeypatch.setattr(archives, "PIECE_BYTES", piece)
        source = svhn(house_numbers, extra=True)
        np.testing.assert_array_equal(source.train.images, wanted)
        assert source.train.labels.tolist() == [[0, 1, 9, 2, 0, 3, 4][place] for place in order]
    assert len(svhn(house_numbers).train) == 3


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
