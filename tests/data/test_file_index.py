from gluonnorm.data import DataError
from gluonnorm.data.file_index import FileIndex

import pytest


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    "reference, wanted",
    [
        ("a", "a.JPG"),
        ("a.jpg", "a.JPG"),
        ("a.png", "a.JPG"),  # the picture was converted
        ("b.jpg", "b.jpg"),
        ("b", "b.jpg"),
        ("b.png", "b.png"),
        ("v2.001", "v2.001.png"),
        ("c.jpg", "c.jpg.jpg"),
        ("my cat 1", "my cat 1.bmp"),
        ("my%20cat%201.bmp", "my cat 1.bmp"),
        ("C:\\photos\\day1\\d.jpg", "day1/d.jpg"),
        ("/home/x/JPEGImages/b.jpg", "b.jpg"),
        ("./day1/d", "day1/d.jpg"),
        ("d", "day1/d.jpg"),
        ("day2/d.jpg", None),  # another folder's picture of the same name
        ("Ka\u0308fer", "K\u00e4fer.jpg"),
        ("notes", None),
        ("hidden", None),
        ("", None),
    ],
)
def test_find(tmp_path, reference, wanted):
    touch(tmp_path, "a.JPG", "b.png", "b.jpg", "b.txt", "v2.001.png", "c.jpg.jpg", "my cat 1.bmp")
    touch(tmp_path, "day1/d.jpg", "K\u00e4fer.jpg", "notes.txt", ".hidden.jpg", ".trash/hidden.jpg")
    assert FileIndex(tmp_path).find(reference) == wanted


def test_absolute_path_of_a_file_elsewhere(tmp_path):
    touch(tmp_path, "images/a.jpg", "other/b.jpg")
    index = FileIndex(tmp_path / "images")
    elsewhere = str(tmp_path / "other/b.jpg")
    assert index.path(index.find(elsewhere)) == elsewhere
    assert index.path(index.find("a")) == str(tmp_path / "images/a.jpg")


def test_name_in_several_subfolders(tmp_path):
    touch(tmp_path, "day1/a.jpg", "day2/a.jpg")
    index = FileIndex(tmp_path)
    assert index.names == ["day1/a.jpg", "day2/a.jpg"] and index.find("day2/a") == "day2/a.jpg"
    with pytest.raises(DataError, match="'a' may be day1/a, day2/a; name its subfolder too"):
        index.find("a")


def test_link_to_a_folder_above_it(tmp_path):
    touch(tmp_path, "photos/a.jpg")
    (tmp_path / "photos/again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "linked").symlink_to(tmp_path / "photos", target_is_directory=True)
    assert [name.split("/")[-1] for name in FileIndex(tmp_path).names] == ["a.jpg"]


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match="absent: cannot be listed: No such file"):
        FileIndex(tmp_path / "absent")
