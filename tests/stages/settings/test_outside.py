"""The description of a net from elsewhere: what is read, and one line for each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.settings.outside import order_of, read_described

GOOD = """format: torchvision
architecture: resnet18
file: net.safetensors
mean: [0.5, 0.4, 0.3]
deviation: [0.2]
size_px: 224
output: logits
classes: [cat, dog]
"""


def written(folder: Path, text: str, *files: str) -> Path:
    for name in files:
        (folder / name).write_bytes(b"x")
    path = folder / "net.yaml"
    path.write_text(text)
    return path


def test_a_description_is_read_with_its_defaults(tmp_path: Path) -> None:
    found = read_described(written(tmp_path, GOOD, "net.safetensors"))
    assert (found.architecture, found.size_px, found.classes) == ("resnet18", 224, ("cat", "dog"))
    assert (found.layout, found.channels, found.range) == ("NCHW", "rgb", (0.0, 1.0))
    assert (found.resize, found.floor, found.trusted) == ("bicubic", 1e-4, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("output: logits", "output: votes"), r'output is "votes": input should be .*logits'),
        (("output: logits\n", ""), r"'output' is missing"),
        (("size_px", "size_pix"), r"unknown key 'size_pix'; did you mean 'size_px'"),
        (("size_px: 224", "size_px: big"), r'size_px is "big": input should be a valid integer'),
        (("[cat, dog]", "[0, 1]"), r'classes has 0, which is no text.*in quotes, as \["0"\]'),
        (("[cat, dog]", "[true, dog]"), r"classes has True.*in quotes"),
        (("[cat, dog]", "[cat, cat]"), "classes names 'cat' twice"),
        (("net.safetensors", "../net.safetensors"), "name a file of the same folder"),
        (("net.safetensors", "other.safetensors"), "which is not in"),
        (("net.safetensors", "net.pth"), r"is not opened here: .*weights_only=True.*safetensors"),
        (("net.safetensors", "net.joblib"), "or export ONNX"),
        (("architecture: resnet18\n", ""), "format is torchvision, and architecture is missing"),
        (("format: torchvision", "format: onnx"), "architecture is for torchvision and timm only"),
        (("[0.5, 0.4, 0.3]", "[0.5, 0.4]"), "mean has 2 values, and the net 3 channels"),
        (("mean", "channels: grey\nmean"), "mean has 3 values, and the net 1 channels"),
        (("mean", "range: [1, 1]\nmean"), "range has one value for black and white"),
        (("[0.2]", "[0.0]"), "input should be greater than 0"),
    ],
)
def test_a_fault_is_one_line_with_the_file_and_the_key(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = written(tmp_path, GOOD.replace(*change), "net.safetensors", "net.pth", "net.joblib")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        read_described(path)
    words = str(caught.value)
    assert words.startswith(str(path)) and "\n" not in words and "params.yaml" not in words


def test_an_exported_program_is_only_opened_where_it_is_trusted(tmp_path: Path) -> None:
    text = "format: torch-export\nfile: net.pt2\noutput: logits\nclasses: [a, b]\n"
    with pytest.raises(ValueError, match="can run code when it is opened: write 'trusted: true'"):
        read_described(written(tmp_path, text, "net.pt2"))
    assert read_described(written(tmp_path, f"{text}trusted: true\n", "net.pt2")).trusted


@pytest.mark.parametrize("text", ["- a\n- b\n", "format: [\n", "a: 1\na: 2\n", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="holds no mapping|not valid YAML"):
        read_described(written(tmp_path, text))


def test_classes_are_matched_by_name() -> None:
    assert order_of(["b", "c", "a"], ["a", "b", "c"], "net.yaml") == [2, 0, 1]
    with pytest.raises(ValueError, match=r"has 2 names, the data have 3: it lacks 'c'; give"):
        order_of(["a", "b"], ["a", "b", "c"], "net.yaml")
    with pytest.raises(ValueError, match=r"it lacks 'c' and has besides 'd'"):
        order_of(["a", "b", "d"], ["a", "b", "c"], "net.yaml")
