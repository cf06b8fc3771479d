import re

from gluonnorm.data import DataError, YOLODataset

import numpy as np
import pytest
from PIL import Image

BOX = "1 0.5 0.5 0.2 0.4\n"  # of 30 x 20 pixels: (12, 6, 18, 14)
CORNERS = [[12, 6, 18, 14]]
TRIANGLE = "0 0.2 0.2 0.6 0.2 0.2 0.8\n"  # (6, 4), (18, 4), (6, 16)


def write(root, **files):
    """Write text files and, for names that end in jpg, images; "__" stands for "/"."""
    for name, text in files.items():
        stem, _, ending = name.rpartition("_")
        path = root / f"{stem.replace('__', '/')}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending == "jpg":
            Image.new("RGB", (30, 20)).save(path)
        else:
            path.write_text(text, encoding="utf-8")


def names_of(dataset):
    return [dataset[index].name for index in range(len(dataset))]


@pytest.fixture
def root(tmp_path):
    write(
        tmp_path,
        data_yaml="train: images/train\nval: images/val\nnames: [cat, dog]\n",
        images__train__a_jpg="",
        images__train__b_jpg="",
        images__train__c_jpg="",
        images__val__d_jpg="",
        labels__train__a_txt=BOX + "\n" + TRIANGLE,
        labels__train__b_txt="",
        labels__val__d_txt=BOX,
    )
    return tmp_path


def test_labeled_images(root):
    dataset = YOLODataset(root, "train")
    assert dataset.classes == ("cat", "dog") and dataset.category_ids == (1, 2)
    assert names_of(dataset) == ["images/train/a.jpg", "images/train/b.jpg", "images/train/c.jpg"]
    assert dataset.sizes().tolist() == [[20, 30]] * 3 and dataset.skipped == ()
    labeled = dataset[0]
    np.testing.assert_allclose(labeled.boxes, [*CORNERS, [6, 4, 18, 16]], rtol=1e-6)
    assert labeled.labels.tolist() == [1, 0] and labeled.crowd.tolist() == [False, False]
    assert labeled.masks is None and dataset[-1].image_id == 2
    assert dataset[1].boxes.shape == dataset[2].boxes.shape == (0, 4)
    truth = dataset.coco_truth()["annotations"]
    assert [entry["category_id"] for entry in truth] == [2, 1]
    np.testing.assert_allclose(truth[0]["bbox"], [12, 6, 6, 8], rtol=1e-6)


def test_masks(root):
    write(root, labels__train__a_txt="0 0.2 0.2 0.6 0.2 0.6 0.8 0.2 0.8\n")
    dataset = YOLODataset(root, "train").with_masks()
    wanted = np.zeros((1, 20, 30), bool)
    wanted[0, 4:16, 6:18] = True
    np.testing.assert_array_equal(dataset[0].masks, wanted)
    assert dataset[1].masks.shape == (0, 20, 30)
    (entry,) = dataset.coco_truth()["annotations"]
    assert entry["area"] == 144 and entry["segmentation"]["size"] == [20, 30]
    with pytest.raises(DataError, match=r"val/d.txt: line 1 has no segmentation; correct"):
        YOLODataset(root, "val").with_masks()


def test_some_of_the_classes(root):
    dataset = YOLODataset(root, "train", classes=["dog"])
    assert dataset[0].labels.tolist() == [0] and dataset.classes == ("dog",)
    assert YOLODataset(root, "train", classes=["dog", "cat"])[0].labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="has no class 'Dog'; it has cat, dog; did you mean dog?"):
        YOLODataset(root, "train", classes=["Dog"])


@pytest.mark.parametrize("split", ["train", "."])
@pytest.mark.parametrize(
    "image, label, class_list",
    [
        ("images__train__a_jpg", "labels__train__a_txt", "classes_txt"),
        ("train__images__a_jpg", "train__labels__a_txt", "train__labels__classes_txt"),
        ("train__a_jpg", "train__a_txt", "train__classes_txt"),
        ("obj_train_data__a_jpg", "obj_train_data__a_txt", "obj_names"),
        ("images__train__x__a_jpg", "labels__train__x__a_txt", "labels__classes_txt"),
        # Upper and lower case are mixed by hand.
        ("Images__Train__a_jpg", "Labels__Train__a_txt", "Labels__Classes_txt"),
        ("IMAGES__train__x__a_jpg", "LABELS__train__x__a_txt", "classes_txt"),
        ("Train__Images__a_jpg", "Train__Labels__a_txt", "Train__Labels__classes_txt"),
        ("Images__train__a_jpg", "labels__train__a_txt", "labels__classes_txt"),
        ("images__train__a_jpg", "Labels__Train__a_txt", "obj_names"),
    ],
)
def test_folders_of_several_tools(tmp_path, image, label, class_list, split):
    write(tmp_path, **{image: "", label: BOX, class_list: "cat\ndog\n"})
    classes = ["cat", "dog"] if split == "." else None
    dataset = YOLODataset(tmp_path, split, classes)
    np.testing.assert_allclose(dataset[0].boxes, CORNERS, rtol=1e-6)
    assert len(dataset) == 1 and dataset.classes == ("cat", "dog")


@pytest.mark.parametrize("split", ["train", "."])
def test_labels_are_spelled_like_their_images_where_there_are_several(tmp_path, split):
    write(
        tmp_path,
        data_yaml="train: images/train\nnames: [cat, dog]\n",
        Images__train__a_jpg="",
        Labels__train__a_txt=BOX,
        labels__train__a_txt="0 0.5 0.5 1 1\n",
    )
    np.testing.assert_allclose(YOLODataset(tmp_path, split)[0].boxes, CORNERS, rtol=1e-6)
    # The exact name counts before any other spelling.
    write(tmp_path, images__train__b_jpg="", labels__train__b_txt=TRIANGLE)
    (tmp_path / "labels" / "train" / "a.txt").unlink()
    assert names_of(YOLODataset(tmp_path, split)) == ["images/train/b.jpg"]


def test_a_label_without_image_is_found_in_capitals_too(tmp_path):
    write(tmp_path, classes_txt="cat\ndog\n", Images__a_jpg="", Labels__a_txt=BOX)
    write(tmp_path, Labels__b_txt=BOX)
    with pytest.raises(DataError, match="Labels/b.txt: has no image in .*Images; add it or remove"):
        YOLODataset(tmp_path)


def test_paths_of_data_yaml(tmp_path):
    write(
        tmp_path,
        data_yaml="path: ../datasets/x\ntrain: ../train/images\nval: /content/x/valid/images\n"
        "test:\n- C:\\x\\test\\images\n- train/images\nnames:\n  0: cat\n  1: dog\nnc: 2\n",
        train__images__a_jpg="",
        train__labels__a_txt=BOX,
        valid__images__b_jpg="",
        valid__labels__b_txt=BOX,
        test__images__c_jpg="",
        test__labels__c_txt=BOX,
    )
    for split, wanted in (
        ("train", ["train/images/a.jpg"]),
        ("val", ["valid/images/b.jpg"]),
        ("valid", ["valid/images/b.jpg"]),
        ("test", ["test/images/c.jpg", "train/images/a.jpg"]),
    ):
        assert names_of(YOLODataset(tmp_path, split)) == wanted
        assert names_of(YOLODataset(tmp_path / "data.yaml", split)) == wanted
    write(tmp_path, data_yaml="train: other/images\nnames: [cat, dog]", images__z_jpg="")
    with pytest.raises(DataError, match="data.yaml: names 'other/images', but there is no"):
        YOLODataset(tmp_path, "train")


@pytest.mark.parametrize("prefix", ["", "./", "data/", "/content/x/"])
def test_lists_of_images(tmp_path, prefix):
    write(
        tmp_path,
        obj_names="cat\ndog\n",
        obj_train_data__a_jpg="",
        obj_train_data__a_txt=BOX,
        obj_train_data__b_jpg="",
        train_txt=f"{prefix}obj_train_data/b.jpg\n{prefix}obj_train_data/a.jpg\n",
        valid_txt=f"{prefix}obj_train_data/a.jpg\n{prefix}obj_train_data/gone.jpg\n"
        f"{prefix}obj_train_data/a.jpg\n",
    )
    wanted = ["obj_train_data/b.jpg", "obj_train_data/a.jpg"]
    assert names_of(YOLODataset(tmp_path, "train")) == wanted
    with pytest.raises(DataError, match="2 faults; .*line 2: no such image .*line 3: image o"):
        YOLODataset(tmp_path, "val")


def test_relative_root(root, monkeypatch):
    monkeypatch.chdir(root)
    for relative in (".", "data.yaml"):
        assert names_of(YOLODataset(relative, "val")) == ["images/val/d.jpg"]
    monkeypatch.chdir(root / "images")
    write(root, **{"images__val__d_txt": TRIANGLE})
    # The labels folder is not below the root, so it is not looked at.
    assert YOLODataset("val", ".", ["cat", "dog"])[0].labels.tolist() == [0]


@pytest.mark.parametrize(
    "row, message",
    [
        ("0 0.5 0.5 0.2", "has 4 numbers; want 5"),
        ("0 0.5 0.5 0.2 0.2 0.9", "has 6 numbers; want 5"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "has 8 numbers"),
        ("cat 0.5 0.5 0.2 0.2", "is 'cat 0.5 0.5 0.2 0.2'; want numbers"),
        ("0,0.5,0.5,0.2,0.2", "want numbers"),
        ("2 0.5 0.5 0.2 0.2", "is of class 2; want 0..1 for the 2 classes"),
        ("-1 0.5 0.5 0.2 0.2", "is of class -1; want"),
        ("0.5 0.5 0.5 0.2 0.2", "is of class 0.5; want an integer"),
        ("1e400 0.5 0.5 0.2 0.2", "is of class inf; want an integer"),
        ("0 15 10 6 8", "has coordinate 15; want fractions"),
        ("0 0.5 0.5 1.2 0.2", "has coordinate 1.2; want fractions"),
        ("0 0.5 0.5 -0.2 0.2", "has coordinate -0.2; want fractions"),
        ("0 nan 0.5 0.2 0.2", "has coordinate nan; want fractions"),
        ("0 0.1 0.1 0.2 0.2 1.5 0.3", "has coordinate 1.5; want fractions"),
    ],
)
def test_faulty_rows(root, row, message):
    write(root, labels__train__a_txt=f"{BOX}{row}\n{BOX}")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        YOLODataset(root, "train")
    assert "a.txt: line 2" in str(caught.value) and "\n" not in str(caught.value)
    dataset = YOLODataset(root, "train", skip_bad=True)
    assert names_of(dataset) == ["images/train/b.jpg", "images/train/c.jpg"]
    assert len(dataset.skipped) == 1


def test_numbers_as_programs_round_them(root):
    write(root, labels__train__a_txt="0.0 1.0000001 0.5 0.2 1.002\n1 0.9 0.9 0.4 0.4\n1 .5 .5 0 .1")
    labeled = YOLODataset(root, "train")[0]
    np.testing.assert_allclose(labeled.boxes, [[27, 0, 30, 20], [21, 14, 30, 20]], rtol=1e-6)
    assert labeled.labels.tolist() == [0, 1]


def test_all_faults_at_once(root):
    write(root, labels__train__a_txt="0 0.5 0.5 0.2\n7 0.5 0.5 0.2 0.2\n", labels__train__x_txt=BOX)
    (root / "images/train/b.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="4 faults; "):
        YOLODataset(root, "train")
    dataset = YOLODataset(root, "train", skip_bad=True)
    for wanted in (
        "x.txt: has no image in",
        "a.txt: line 1 ",
        "a.txt: line 2 ",
        "b.jpg: cannot be",
    ):
        assert sum(wanted in message for message in dataset.skipped) == 1, (wanted, dataset.skipped)
    assert names_of(dataset) == ["images/train/c.jpg"]


def test_damaged_image_is_left_out(root):
    noise = np.random.RandomState(0).randint(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(noise).save(root / "images/train/b.jpg")
    content = (root / "images/train/b.jpg").read_bytes()
    (root / "images/train/b.jpg").write_bytes(content[:-300])
    assert len(YOLODataset(root, "train")) == 3
    dataset = YOLODataset(root, "train", skip_bad=True)
    assert names_of(dataset) == ["images/train/a.jpg", "images/train/c.jpg"]


def test_notes_beside_labels_are_no_labels(root):
    write(root, labels__train__readme_txt="two cats\n", labels__classes_txt="cat\ndog\n")
    (root / "labels/train/._a.txt").write_bytes(b"\x00\x05")
    assert len(YOLODataset(root, "train")) == 3


@pytest.mark.parametrize(
    "files, message",
    [
        ({"data_yaml": "names: [cat, cat]"}, "data.yaml: class 'cat' is listed more than once"),
        ({"data_yaml": "nc: 3\nnames: [cat, dog]"}, "nc is 3, but there are 2 names"),
        ({"data_yaml": "names: {1: cat, 2: dog}"}, "names has the numbers 1, 2; want 0 to 1"),
        ({"data_yaml": "names: cat"}, "names is 'cat'; want a list"),
        ({"data_yaml": "names: [a, b]\nkpt_shape: [17, 3]"}, "are key points"),
        ({"classes_txt": "dog\ncat\n"}, "files disagree on the classes: .*data.yaml has cat, dog"),
        ({"data_yaml": "train: x"}, "no class names: there is no data.yaml with names, classes"),
        ({"data_yaml": "names: [cat, dog]\ntrain: {0: x}"}, "train is no folder, list or several"),
        ({"data_yaml": "train images"}, "data.yaml: line 1 is 'train images'; want a key"),
    ],
)
def test_faults_of_the_description(root, files, message):
    write(root, **files)
    with pytest.raises(DataError, match=message):
        YOLODataset(root, "train")


def test_faults_of_the_folder(root, tmp_path):
    with pytest.raises(DataError, match="no split 'trian': .*has train, val, .*; did you mean tr"):
        YOLODataset(root, "trian")
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        YOLODataset(tmp_path / "absent", "train")
    (root / "labels/train").rename(root / "labels/training")
    with pytest.raises(DataError, match="none of the 3 images has a label file; looked .*a.txt"):
        YOLODataset(root, "train")
    for name in "abc":
        (root / f"images/train/{name}.jpg").unlink()
    with pytest.raises(DataError, match="images/train: is an empty data set: there are no images"):
        YOLODataset(root, "train")
    write(root, data_yaml="val: x", one_yaml="names: [a, b]", two_yml="names: [c]")
    (root / "data.yaml").unlink()
    with pytest.raises(DataError, match="several files describe .*one.yaml, .*two.yml; give"):
        YOLODataset(root, "val")
    assert YOLODataset(root / "one.yaml", "val", ["b"]).classes == ("b",)
