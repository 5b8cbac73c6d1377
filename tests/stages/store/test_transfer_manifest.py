"""transfer_manifest: the contract between augment and whoever reads data/augmented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.settings.common import HSV
from stages.store.manifest import write_manifest
from stages.store.transfer_manifest import TransferManifest

MANIFEST = TransferManifest(
    epochs=3, store="draws", hsv=HSV(0.06, 0.26, 0.2, 0.21, 0.13), crop_min_px=24, images=600
)
TEXT = """{
  "epochs": 3,
  "store": "draws",
  "hsv": {
    "D_h": 0.06,
    "D_s": 0.26,
    "D_v": 0.2,
    "A_s": 0.21,
    "A_v": 0.13
  },
  "crop_min_px": 24,
  "images": 600,
  "files": {}
}
"""


def test_the_file_is_as_it_has_always_been(tmp_path: Path) -> None:
    """Renew only when it is intended that no transfer set made before can be read."""
    MANIFEST.write(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == TEXT
    assert TransferManifest.read(tmp_path) == MANIFEST


def test_keys_may_be_in_any_order(tmp_path: Path) -> None:
    contents = dict(reversed(json.loads(TEXT).items()))
    contents["hsv"] = dict(reversed(contents["hsv"].items()))
    (tmp_path / "manifest.json").write_text(json.dumps(contents))
    assert TransferManifest.read(tmp_path) == MANIFEST


def test_vectors_have_no_crops(tmp_path: Path) -> None:
    vectors = TransferManifest(
        epochs=1, store="images", hsv=HSV(0.0, 0.0, 0.0, 0.0, 0.0), crop_min_px=None, images=5
    )
    vectors.write(tmp_path)
    assert TransferManifest.read(tmp_path) == vectors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: input should be greater than or equal to 1"),
        ({"epochs": "3"}, "epochs: input should be a valid integer"),
        ({"store": "pixels"}, "store: input should be 'images' or 'draws'"),
        ({"hsv": {"D_h": 0.1}}, "hsv.D_s: field required"),
        ({"hsv": [0.1] * 5}, "hsv: "),
        ({"members": 2}, "members: unexpected keyword argument"),
    ],
)
def test_other_manifests_are_refused_in_one_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    contents = {key: value for key, value in json.loads(TEXT).items() if key != "files"}
    write_manifest(tmp_path, {**contents, **change})
    with pytest.raises(ValueError, match="not the manifest that belongs there") as caught:
        TransferManifest.read(tmp_path)
    said = str(caught.value)
    assert f"({message}" in said and "run 'dvc repro' again" in said and "\n" not in said


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"epochs": 3})
    with pytest.raises(ValueError, match=r"manifest.json .*\(store: field required\)"):
        TransferManifest.read(tmp_path)
