from gluonnorm.data import Faults
from gluonnorm.data.image_files import ImageFolder, keep_readable
from gluonnorm.data.images import read_image_of_size

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.jpg",
        "my cat.jpg",
        "B.JPG",
        "train/c.jpg",
        "Twin.jpg",
        "twin.jpg",
        "x%20y.jpg",
    ):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(path, "jpeg")
    (tmp_path / "images" / "folder.jpg").mkdir()
    return tmp_path / "images"


@pytest.mark.parametrize(
    "name, found",
    [
        ("a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("images/a.jpg", "a.jpg"),
        ("images\\a.jpg", "a.jpg"),
        ("C:\\Users\\someone\\a.jpg", "a.jpg"),
        ("/home of another/a.jpg", "a.jpg"),
        ("https://example.org/a.jpg", "a.jpg"),
        ("my cat.jpg", "my cat.jpg"),
        ("my%20cat.jpg", "my cat.jpg"),
        ("data\\my%20cat.jpg", "my cat.jpg"),
        ("x%20y.jpg", "x%20y.jpg"),
        ("train/c.jpg", "train/c.jpg"),
        ("train\\c.jpg", "train/c.jpg"),
        ("data/train/c.jpg", "train/c.jpg"),
        ("a.JPG", "a.jpg"),
        ("b.jpg", "B.JPG"),
        ("Twin.jpg", "Twin.jpg"),
        ("twin.jpg", "twin.jpg"),
        ("TWIN.jpg", None),
        ("c.jpg", None),
        ("gone.jpg", None),
        ("a", None),
        ("folder.jpg", None),
        ("", None),
        ("a\0.jpg", None),
        ("absent\0/b", None),
    ],
)
def test_names_of_exporters(folder, name, found):
    path = ImageFolder(folder).find(name)
    assert path is None if found is None else Image.open(path).size == (8, 6)
    assert found is None or path.endswith(f"images/{found}") or path.endswith(f"./{found}")


def test_an_absolute_path_is_found_outside_of_the_folder(folder, tmp_path):
    outside = tmp_path / "outside.jpg"
    Image.new("RGB", (8, 6)).save(outside)
    assert ImageFolder(folder).find(str(outside)) == str(outside)


def test_a_folder_that_does_not_exist_has_no_images(tmp_path):
    assert ImageFolder(tmp_path / "absent").find("a.jpg") is None


def test_images_that_cannot_be_used(tmp_path):
    good, large, cut = [str(tmp_path / f"{name}.png") for name in ("good", "large", "cut")]
    Image.new("RGB", (8, 6)).save(good)
    Image.new("RGB", (9, 6)).save(large)
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    faults = Faults("x.json", skip=True)
    kept = keep_readable(
        [good, large, cut, good, "gone.png"],
        lambda path: read_image_of_size(path, (6, 8), "x.json"),
        faults,
    )
    assert kept == [good, good]
    size_fault, cut_fault, missing_fault = faults.messages
    assert "large.png: is 9 x 6 pixels, but x.json states 8 x 6" in size_fault
    assert "cut.png: cannot be read as an image" in cut_fault
    assert "gone.png: no such image file" in missing_fault
