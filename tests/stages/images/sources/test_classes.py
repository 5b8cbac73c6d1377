"""classes: labels of all files are matched by name, or by value where no file has names."""

from __future__ import annotations

import numpy as np
import pytest

from stages.images.sources.classes import FileLabels, numbered

PETS = ("cat", "dog", "eel")


def file(name: str, labels: list[int], classes: tuple[str, ...] | None) -> FileLabels:
    return FileLabels(name, np.array(labels), classes)


def matched(*files: FileLabels, training: int = 1, lacks: bool = False) -> list[list[str]]:
    """Name of the class of every label, file by file."""
    numbers, classes = numbered(files[:training], files[training:], lacks)
    assert all(each.dtype == np.int64 for each in numbers)
    return [[classes[number] for number in each] for each in numbers]


@pytest.mark.parametrize(
    "classes", [PETS, ("eel", "cat", "dog"), ("dog", "cat", "eel"), ("cat", "eel"), ("eel",)]
)
def test_a_file_that_orders_its_classes_otherwise_is_matched_by_name(
    classes: tuple[str, ...],
) -> None:
    labels = [*range(len(classes)), 0]
    found = matched(file("a", [0, 1, 2], PETS), file("b", labels, classes))
    assert found == [list(PETS), [classes[label] for label in labels]]
    found = matched(
        file("a", [2, 1], PETS), file("b", labels, classes), file("c", [0], ("dog",)), training=2
    )
    assert found[1:] == [[classes[label] for label in labels], ["dog"]]


@pytest.mark.parametrize("other", [("cat", "dog", "eel", "fox"), ("Cat", "dog", "eel"), ("fox",)])
def test_names_that_training_lacks_are_refused_with_both_lists(other: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=rf"b has the classes {', '.join(other)}, a has cat, dog"):
        matched(file("a", [0], PETS), file("b", [0], other))


def test_names_that_occur_twice_are_taken_only_as_they_are() -> None:
    """ImageNet has two cranes."""
    cranes = ("crane", "dog", "crane")
    numbers, classes = numbered([file("a", [0, 2], cranes)], [file("b", [2], cranes)])
    assert [each.tolist() for each in numbers] == [[0, 2], [2]] and classes == cranes
    with pytest.raises(ValueError, match="names that occur twice cannot be matched"):
        matched(file("a", [0], cranes), file("b", [0], ("dog", "crane")))


@pytest.mark.parametrize(("a", "b"), [(PETS, None), (None, PETS)])
def test_names_in_some_files_only_are_refused(a: object, b: object) -> None:
    with pytest.raises(
        ValueError, match=r"(a|b) names its classes \(cat, dog, eel\) and (a|b) does"
    ):
        matched(file("a", [0], a), file("b", [0], b))


def test_a_test_file_may_do_without_names_where_that_is_allowed() -> None:
    assert matched(file("a", [0], PETS), file("b", [2], None), lacks=True) == [["cat"], ["eel"]]
    with pytest.raises(ValueError, match="names its classes"):
        matched(file("a", [0], None), file("b", [2], PETS), lacks=True)
    with pytest.raises(ValueError, match="names its classes"):
        matched(file("a", [0], PETS), file("b", [2], None), training=2, lacks=True)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 1, 2], ["0", "1", "2"]),
        ([1, 2, 3], ["1", "2", "3"]),
        ([7, 900, 3, 3], ["3", "7", "900"]),
        ([*range(12)], [str(i) for i in range(12)]),
    ],
)
def test_without_names_there_are_as_many_classes_as_labels(
    labels: list[int], names: list[str]
) -> None:
    numbers, classes = numbered([file("a", labels, None)], [file("b", labels[:1], None)])
    assert list(classes) == names
    assert [classes[number] for number in numbers[0]] == [str(label) for label in labels]
    assert classes[numbers[1][0]] == str(labels[0])


@pytest.mark.parametrize("bad", [2, 4, 100])
def test_a_test_label_that_no_training_image_has_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=rf"b: row 1 has label {bad}, which no .* has \(0, 1, 3\)"):
        matched(file("a", [0, 1, 3], None), file("b", [1, bad], None))


@pytest.mark.parametrize("classes", [PETS, None])
def test_a_label_without_a_class_names_file_and_row(classes: tuple[str, ...] | None) -> None:
    with pytest.raises(ValueError, match="a: row 1 has label -1, allowed are 0"):
        matched(file("a", [0, -1], classes))
    with pytest.raises(ValueError, match="a: row 2 has label 3, allowed are 0 to 2"):
        matched(file("a", [0, 1, 3], PETS))


def test_long_lists_are_cut() -> None:
    many = tuple(f"class {i}" for i in range(1000))
    with pytest.raises(ValueError, match="class 19 and 980 more") as raised:
        matched(file("a", [0], many), file("b", [0], ("other",)))
    assert len(str(raised.value)) < 500
