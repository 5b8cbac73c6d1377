"""Pictures with a list of their names and labels."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

from stages.images.pictures import PictureRule
from stages.images.sources.columns import Columns
from stages.images.sources.folder import image_folder
from stages.images.sources.labelled import Source
from stages.images.sources.list_index import PictureIndex
from tests.helpers.image_files import encoded, one_line

EIGHT = PictureRule(8)


def put(root: Path, *names: str) -> None:
    """A picture of one grey at each place, its place in `names`."""
    for place, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(np.full((8, 8, 3), place, np.uint8)))


def labelled(source: Source) -> dict[int, str]:
    """Grey of each training picture -> the name of its class."""
    train = source.train
    greys = train.images[:, 0, 0, 0].tolist()
    return dict(zip(greys, (source.classes[i] for i in train.labels), strict=True))


@pytest.mark.parametrize(
    "names",
    [("0.png", "1.png", "2.png"), ("0", "1", "2"), ("./pictures/0.png", "pictures/1.png", "2")],
)
@pytest.mark.parametrize("head", ["file_name,label", "id,breed", "Image,Class", "path,target"])
def test_a_list_names_and_labels_pictures(
    tmp_path: Path, names: tuple[str, ...], head: str
) -> None:
    put(tmp_path, "pictures/0.png", "pictures/1.png", "pictures/2.png", "pictures/3.png")
    lines = [f"{name},{label}" for name, label in zip(names, ("cat", "dog", "cat"), strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join([head, *lines]))
    source = image_folder(tmp_path, EIGHT)
    assert labelled(source) == {0: "cat", 1: "dog", 2: "cat"} and source.test is None
    assert source.notes == ("passed over 1 pictures that no list names",)


def test_tabs_quotes_and_a_mark_of_the_encoding_are_read(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png")
    text = '\ufefffile_name\tlabel\n0.png\t"a, b"\n1.png\tNA\n'
    (tmp_path / "labels.tsv").write_text(text, encoding="utf-8")
    assert labelled(image_folder(tmp_path, EIGHT)) == {0: "a, b", 1: "NA"}


def test_whole_numbers_are_ordered_by_value(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,10\n1.png,9\n2.png,100\n")
    assert image_folder(tmp_path, EIGHT).classes == ("9", "10", "100")


def test_a_list_for_each_part_takes_the_files_of_its_folder(tmp_path: Path) -> None:
    """The same names in both folders, and Kaggle's list of test pictures without labels."""
    put(tmp_path, "train_images/0.png", "train_images/1.png", "val_images/0.png")
    (tmp_path / "train.csv").write_text("image_id,label\n0,a\n1,b\n")
    (tmp_path / "val.csv").write_text("image_id,label\n0,b\n")
    (tmp_path / "test.csv").write_text("image_id\n0\n")
    source = image_folder(tmp_path, EIGHT)
    assert labelled(source) == {0: "a", 1: "b"} and source.validation is not None
    assert source.validation.labels.tolist() == [1]
    assert source.validation.images[0, 0, 0, 0] == 2
    assert source.notes == ("passed over test.csv, which has no labels",)


def test_a_column_may_say_the_part(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png", "2.png", "3.png")
    lines = "0.png,a,Train\n1.png,b,train\n2.png,a,valid\n3.png,b,TEST\n"
    (tmp_path / "metadata.csv").write_text("file_name,label,split\n" + lines)
    source = image_folder(tmp_path, EIGHT)
    assert source.validation is not None and source.test is not None
    assert labelled(source) == {0: "a", 1: "b"}
    assert source.validation.labels.tolist() == [0] and source.test.labels.tolist() == [1]


def test_columns_and_groups_are_named_by_settings(tmp_path: Path) -> None:
    put(tmp_path, "a/0.png", "a/1.png", "b/2.png")
    text = "scan,label,grade,patient\n0,x,2,p1\n1,x,3,p1\n2,x,2,p2\n"
    (tmp_path / "list.csv").write_text(text)
    source = image_folder(tmp_path, EIGHT, Columns("scan", "grade", "patient"))
    assert labelled(source) == {0: "2", 1: "3", 2: "2"} and source.train.groups is not None
    of_grey = dict(zip(source.train.images[:, 0, 0, 0].tolist(), source.train.groups, strict=True))
    assert of_grey == {0: "p1", 1: "p1", 2: "p2"}
    for key, given in (
        ("image_column", ("foto", "grade")),
        ("label_column", ("scan", "kind")),
        ("group", ("scan", "grade", "house")),
    ):
        with pytest.raises(ValueError, match=f"columns scan, label, .*prepare.{key}"):
            image_folder(tmp_path, EIGHT, Columns(*given))


def test_parts_go_before_a_list_unless_a_column_is_named(tmp_path: Path) -> None:
    put(tmp_path, "train/a/0.png", "train/b/1.png")
    (tmp_path / "list.csv").write_text("file,label\n0,x\n1,y\n")
    assert image_folder(tmp_path, EIGHT).classes == ("a", "b")
    assert image_folder(tmp_path, EIGHT, Columns(label="label")).classes == ("x", "y")


def test_a_table_of_something_else_is_no_list(tmp_path: Path) -> None:
    put(tmp_path, "a/0.png", "b/1.png")
    (tmp_path / "camera.csv").write_text("lens,label\n50 mm,x\n")
    assert image_folder(tmp_path, EIGHT).classes == ("a", "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\n0.png,a\n9.png,b\n8.png,b\n", ("2 of 3 lines", "line 3: '9.png'", "line 4")),
        ("file,label\n0.png,a\nsame.png,b\n", ("line 3: 'same.png' may be any of 2 files",)),
        ("file,label\n0.png,a\n0,b\n", ("0.png", "more than once")),
        ("file,label\n0.png,a\n1.png,\n", ("line 3: '1.png' has no label",)),
        ("file,label\n../../etc/passwd,a\n", ("'../../etc/passwd' is no file there",)),
        ("one,two\n0.png,a\n", ("columns one, two", "file_name", "prepare.image_column")),
        ("", ("not a table",)),
    ],
)
def test_lists_that_cannot_be_used_are_refused(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    put(tmp_path, "0.png", "1.png", "a/same.png", "b/same.png")
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT, Columns(label="label"))
    one_line(error, *words)


def test_labels_of_other_parts_are_among_those_of_training(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "train.csv").write_text("file,label\n0,a\n1,b\n")
    (tmp_path / "test.csv").write_text("file,label\n2,wolf\n")
    with pytest.raises(ValueError, match="labels that no training picture has: wolf"):
        image_folder(tmp_path, EIGHT)
    (tmp_path / "train.csv").unlink()
    with pytest.raises(ValueError, match="no line for training"):
        image_folder(tmp_path, EIGHT)


def test_pictures_of_lists_are_mixed(tmp_path: Path) -> None:
    """A list sorted by class gives no part of one class."""
    put(tmp_path, *(f"{i}.png" for i in range(40)))
    lines = "".join(f"{i}.png,{'a' if i < 20 else 'b'}\n" for i in range(40))
    (tmp_path / "list.csv").write_text("file,label\n" + lines)
    labels = image_folder(tmp_path, EIGHT).train.labels
    assert 0 < labels[:10].sum() < 10


def test_a_column_of_parts_has_no_other_values(tmp_path: Path) -> None:
    """One odd value must not make all lines training lines."""
    put(tmp_path, "0.png", "1.png", "2.png", "3.png")
    lines = "0.png,a,train\n1.png,b,\n2.png,a,test\n3.png,b,holdout\n"
    (tmp_path / "list.csv").write_text("file,label,split\n" + lines)
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "2 of 4 lines", "line 3: split is ''", "line 5: split is 'holdout'", "train")

    (tmp_path / "list.csv").write_text("file,label,set\n0.png,a,x\n1.png,b,y\n")
    assert image_folder(tmp_path, EIGHT).test is None


def test_a_test_list_may_have_capitals_in_its_columns(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "train.csv").write_text("Image,Label\n0.png,a\n1.png,b\n")
    (tmp_path / "test.csv").write_text("Image,Label\n2.png,b\n")
    test = image_folder(tmp_path, EIGHT).test
    assert test is not None and test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("cats/1.png", "dogs/2.png"), ("line 2: 'cats/1.png' is no file there",)),
        (("../cats/1.png", "2.png"), ("line 2: '../cats/1.png' is no file",)),
        (("dogs/2.png", "/other/dogs/1.png"), ("line 3: '/other/dogs/1.png' is no file",)),
        (("dogs/dogs/1.png", "dogs/dogs/2.png"), ("2 of 2 lines",)),
        (("/home/me/dogs/1.png", "/home/me/dogs/2.png"), ()),
        (("C:\\data\\pets\\dogs\\1.png", "C:\\data\\pets\\dogs\\2.png"), ()),
        (("./dogs/1.png", ".//dogs/2.png"), ()),
        (("pets/dogs/1", "pets/dogs/2"), ()),
    ],
)
def test_named_folders_are_those_of_the_file(
    tmp_path: Path, names: tuple[str, str], missing: tuple[str, ...]
) -> None:
    """A cat is no dog of the same name; folders of another machine may be left out."""
    put(tmp_path, "deep/dogs/1.png", "deep/dogs/2.png")
    (tmp_path / "list.csv").write_text(f"path,label\n{names[0]},x\n{names[1]},y\n")
    if not missing:
        assert labelled(image_folder(tmp_path, EIGHT)) == {0: "x", 1: "y"}
        return

    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, *missing)


def test_lines_without_a_group_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "list.csv").write_text("file,label,who\n0.png,a,\n1.png,b,p\n2.png,b, \n")
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT, Columns(group="who"))
    one_line(error, "2 of 3 lines", "line 2: '0.png' has no who", "line 4", "prepare.group")


def test_commas_at_the_end_shift_nothing(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png")
    (tmp_path / "list.csv").write_text("file,label\n0.png,a,\n\n1.png,b,,\n")
    assert labelled(image_folder(tmp_path, EIGHT)) == {0: "a", 1: "b"}

    (tmp_path / "list.csv").write_text("file,label\n0.png,a\n\nx, 1.png,b\n")
    with pytest.raises(ValueError, match="line 4 has 3 columns, the first line has 2"):
        image_folder(tmp_path, EIGHT)
    (tmp_path / "list.csv").write_text("file,label,file \n0.png,a,1.png\n")
    with pytest.raises(ValueError, match="more than one column is called file"):
        image_folder(tmp_path, EIGHT)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("notes.csv", b"", "is not a table"),
        ("notes.csv", "a;b\nä;ö".encode("latin-1"), "is not a table"),
        ("boxes.csv", b"x,y\n1,2\n", "has no column of file names"),
        ("classes.csv", b"id,class\n0,cat\n1,dog\n", "names no picture"),
        ("classes.csv", b"id,class\n7,cat\n8,dog\n", "names no picture"),
    ],
)
def test_tables_beside_class_folders_are_passed_over(
    tmp_path: Path, name: str, text: bytes, why: str
) -> None:
    put(tmp_path, "cat/0.png", "dog/2.png")
    (tmp_path / name).write_bytes(text)
    source = image_folder(tmp_path, EIGHT)
    assert source.classes == ("cat", "dog")
    assert source.notes[0].startswith(f"passed over {name}, which {why}")


@pytest.mark.parametrize("with_test_list", [True, False])
def test_a_sample_of_answers_is_no_training_list(tmp_path: Path, with_test_list: bool) -> None:
    """Kaggle's sample_submission.csv gives all test pictures one label."""
    put(tmp_path, "train/0.png", "train/1.png", "test/8.png", "test/9.png")
    (tmp_path / "train.csv").write_text("id,label\n0,a\n1,b\n")
    (tmp_path / "sample_submission.csv").write_text("id,label\n8,a\n9,a\n")
    if with_test_list:
        (tmp_path / "test.csv").write_text("id\n8\n9\n")
    source = image_folder(tmp_path, EIGHT)
    assert labelled(source) == {0: "a", 1: "b"} and source.test is None
    assert any("passed over sample_submission.csv" in note for note in source.notes)


ISIC = "image,MEL,NV,BCC\n0,0.0,1.0,0.0\n1,1.0,0.0,0.0\n2,0,1,0\n"


def test_a_column_for_each_class(tmp_path: Path) -> None:
    """ISIC's list; a class that no line has is none, and a number of the line is no class."""
    put(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "GroundTruth.csv").write_text(ISIC)
    assert labelled(image_folder(tmp_path, EIGHT)) == {0: "NV", 1: "MEL", 2: "NV"}

    lines = [f"{i},{line}" for i, line in enumerate(ISIC.splitlines()[1:])]
    text = "\n".join([",image,MEL,NV,BCC", *lines])
    (tmp_path / "GroundTruth.csv").write_text(text)
    assert image_folder(tmp_path, EIGHT).classes == ("MEL", "NV")


def test_a_column_for_each_class_beside_parts_and_groups(tmp_path: Path) -> None:
    """ISIC's folders of pictures are parts, and not classes."""
    put(tmp_path, "ISIC_Training_Input/0.png", "ISIC_Training_Input/1.png", "ISIC_Test_Input/2.png")
    (tmp_path / "ISIC_Training_GroundTruth.csv").write_text("image,A,B\n0,0,1\n1,1,0\n")
    (tmp_path / "ISIC_Test_GroundTruth.csv").write_text("image,A,B\n2,0,1\n")
    source = image_folder(tmp_path, EIGHT)
    assert labelled(source) == {0: "B", 1: "A"} and source.classes == ("A", "B")
    assert source.test is not None and source.test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ISIC + "3,0,0,0\n4,1,1,0\n", ("2 of 5 lines", "line 5: '3' is of 0 classes", "(MEL, NV)")),
        (ISIC + "3,0.5,0.5,0\n", ("columns image, MEL, NV, BCC", "prepare.label_column")),
        ("image,MEL\n0,1\n1,0\n", ("columns image, MEL", "prepare.label_column")),
    ],
)
def test_columns_that_are_no_classes(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    put(tmp_path, *(f"{i}.png" for i in range(5)))
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT, Columns(image="image"))
    one_line(error, *words)


def test_attributes_beside_class_folders_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / "quality.csv").write_text("image,dark,blurred\n0,0,1\n1,1,0\n")
    source = image_folder(tmp_path, EIGHT)
    assert source.classes == ("cat", "dog")
    assert source.notes[0] == "passed over quality.csv, which has no labels"


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_names_in_another_form_of_unicode(tmp_path: Path, forms: tuple[str, str]) -> None:
    """Folders that macOS made, and a list that a spreadsheet wrote, or the other way round."""
    of_files, of_list = forms
    names = ("Bäume/grün.png", "Bäume/1.png", "Höfe/1.png")
    put(tmp_path, *(normalize(of_files, name) for name in names))
    lines = [f"{normalize(of_list, name)},{i}" for i, name in enumerate(names)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    assert labelled(image_folder(tmp_path, EIGHT)) == {0: "0", 1: "1", 2: "2"}


def test_two_files_whose_names_differ_in_their_form(tmp_path: Path) -> None:
    put(tmp_path, normalize("NFC", "ä.png"), normalize("NFD", "ä.png"))
    for form in ("NFC", "NFD"):
        assert len(PictureIndex(tmp_path).find(normalize(form, "ä"), "train")) == 1

    put(tmp_path, "\u01df.png", "a\u0308\u0304.png")
    (found,) = PictureIndex(tmp_path).find("a\u0308\u0304", "train")
    assert found.stem == "a\u0308\u0304"
    assert len(PictureIndex(tmp_path).find("\u00e4\u0304", "train")) == 2


def test_the_part_goes_before_the_form_of_a_name(tmp_path: Path) -> None:
    """A picture for test in the list's form must not be trained on."""
    put(tmp_path, normalize("NFD", "train/ä.png"), normalize("NFC", "test/ä.png"), "train/b.png")
    (tmp_path / "train.csv").write_text("id,label\nä.png,x\nb.png,y\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("id,label\nä,x\n", encoding="utf-8")
    source = image_folder(tmp_path, EIGHT)
    assert labelled(source) == {0: "x", 2: "y"} and source.test is not None
    assert source.test.images[:, 0, 0, 0].tolist() == [1]


def test_labels_in_two_forms_of_unicode_are_one_class(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png", "2.png", "3.png")
    nfc, nfd = normalize("NFC", "Köln"), normalize("NFD", "Köln")
    (tmp_path / "train.csv").write_text(f"id,label\n0,{nfd}\n1,{nfc}\n2,Bonn\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text(f"id,label\n3,{nfc}\n", encoding="utf-8")
    source = image_folder(tmp_path, EIGHT)
    assert source.classes == ("Bonn", nfd) and labelled(source) == {0: nfd, 1: nfd, 2: "Bonn"}
    assert source.test is not None and source.test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train_sex.csv", "image,male,female\n0,1,0\n1,0,1\n"),
        ("train_sex.csv", "image,glasses,hat\n0,1,1\n1,0,0\n"),
        ("val_notes.csv", "id,checked,bad\n0,1,1\n1,0,1\n"),
        ("train_both.csv", "id,cat,dog\n0,1,1\n1,0,1\n"),
    ],
)
def test_attributes_of_a_part_beside_class_folders(tmp_path: Path, name: str, text: str) -> None:
    put(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / name).write_text(text)
    source = image_folder(tmp_path, EIGHT)
    assert source.classes == ("cat", "dog") and labelled(source) == {0: "cat", 1: "dog"}
    assert source.notes[0] == f"passed over {name}, which has no labels"


def test_columns_that_are_called_as_the_class_folders(tmp_path: Path) -> None:
    put(tmp_path, "cat/0.png", "dog/1.png")
    (tmp_path / "train.csv").write_text("id,cat,dog\n0,0,1\n1,1,0\n")
    assert labelled(image_folder(tmp_path, EIGHT)) == {0: "dog", 1: "cat"}


@pytest.mark.parametrize("ticks", ["1,0", "1,1"])
def test_attributes_of_test_pictures_are_no_labels(tmp_path: Path, ticks: str) -> None:
    """Also where no test picture is there, and where each line has one 1."""
    put(tmp_path, "0.png", "1.png")
    (tmp_path / "train.csv").write_text("image_id,label\n0,a\n1,b\n")
    (tmp_path / "test.csv").write_text(f"image_id,flip,crop\n8,{ticks}\n9,0,1\n")
    source = image_folder(tmp_path, EIGHT)
    assert labelled(source) == {0: "a", 1: "b"} and source.test is None
    assert source.notes == ("passed over test.csv, which has no labels",)


@pytest.mark.parametrize("answer", ["0.25", "0", "1"])
def test_a_sample_of_answers_with_a_column_for_each_class(tmp_path: Path, answer: str) -> None:
    """As of Kaggle's Plant Pathology, whose pictures lie in one folder."""
    put(tmp_path, "images/Train_0.jpg.png", "images/Train_1.jpg.png", "images/Test_0.jpg.png")
    head = "image_id,healthy,rust,scab\n"
    (tmp_path / "train.csv").write_text(head + "Train_0.jpg,0,1,0\nTrain_1.jpg,1,0,0\n")
    (tmp_path / "test.csv").write_text("image_id\nTest_0.jpg\n")
    others = ",".join([answer if answer != "1" else "0"] * 2)
    (tmp_path / "sample_submission.csv").write_text(f"{head}Test_0.jpg,{answer},{others}\n")
    source = image_folder(tmp_path, EIGHT)
    assert labelled(source) == {0: "rust", 1: "healthy"} and source.test is None
    assert any("passed over sample_submission.csv" in note for note in source.notes)


def test_a_bad_line_of_a_test_list_with_the_classes_of_training(tmp_path: Path) -> None:
    """Such a list has labels, so it is not passed over."""
    put(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "train.csv").write_text("image,A,B\n0,0,1\n1,1,0\n")
    (tmp_path / "test.csv").write_text("image,A,B\n2,1,1\n")
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "test.csv", "line 2: '2' is of 2 classes (A, B)")


def test_lists_without_any_labels_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "1.png")
    (tmp_path / "list.csv").write_text("image,glasses,hat\n0,1,1\n1,0,1\n")
    with pytest.raises(ValueError) as error:
        image_folder(tmp_path, EIGHT)
    one_line(error, "list.csv", "1 of 2 lines", "line 2: '0' is of 2 classes (glasses, hat)")


@pytest.mark.parametrize(
    "text", ["image,A,B,who\n0,0,1,7\n1,1,0,8\n", "image,A,B,who\n0,0,1,1\n1,1,0,0\n"]
)
def test_a_column_of_groups_is_no_class(tmp_path: Path, text: str) -> None:
    put(tmp_path, "0.png", "1.png")
    (tmp_path / "list.csv").write_text(text)
    source = image_folder(tmp_path, EIGHT, Columns(group="who"))
    assert labelled(source) == {0: "B", 1: "A"} and source.train.groups is not None

    (tmp_path / "list.csv").rename(tmp_path / "train.csv")
    put(tmp_path, "Training_Input/0.png", "Test_Input/1.png")
    for place in range(2):
        (tmp_path / f"{place}.png").unlink()
    beside = image_folder(tmp_path, EIGHT, Columns(group="who"))
    assert labelled(beside) == {0: "B", 1: "A"} and beside.train.groups is not None
