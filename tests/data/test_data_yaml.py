from gluonnorm.data import DataError
from gluonnorm.data.data_yaml import read_data_yaml

import pytest

ROBOFLOW = """train: ../train/images
val: ../valid/images

nc: 2
names: ['light/red', "it's \\u732b"]

roboflow:
  workspace: somebody
  license: CC BY 4.0
"""
ULTRALYTICS = """# COCO8 dataset
# Example usage: yolo train data=coco8.yaml
---
path: ../datasets/coco8 # dataset root dir
train: # two folders
  - images/train
  - images/more
val: images/val
test: # optional

names:
  0: person
  1: traffic light  # with a comment
  2: 'driver''s seat'
  3: a#b

download: |
  from pathlib import Path
  names: [this is no key]
  print("[", Path)
"""
HAND_WRITTEN = """nc : 3
names : [ a b , c:d,   # the second
    e's,
]
train: {0: x, "1": 'y, z'}
val:
- one
- "two, three"
test: ~
"""


@pytest.mark.parametrize(
    "text, wanted",
    [
        (
            ROBOFLOW,
            {
                "train": "../train/images",
                "val": "../valid/images",
                "nc": "2",
                "names": ["light/red", "it's \u732b"],
            },
        ),
        (
            ULTRALYTICS,
            {
                "path": "../datasets/coco8",
                "train": ["images/train", "images/more"],
                "val": "images/val",
                "names": {"0": "person", "1": "traffic light", "2": "driver's seat", "3": "a#b"},
            },
        ),
        (
            HAND_WRITTEN,
            {
                "nc": "3",
                "names": ["a b", "c:d", "e's"],
                "train": {"0": "x", "1": "y, z"},
                "val": ["one", "two, three"],
            },
        ),
        ("names: []\r\n", {}),
        ("", {}),
        ("names: {}", {}),
        ("names:\n    # nothing\n", {}),
        ("val: C:\\data\\val\n", {"val": "C:\\data\\val"}),
        ("names: [no, 1, null_, Yes]", {"names": ["no", "1", "null_", "Yes"]}),
    ],
)
def test_values(tmp_path, text, wanted):
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    assert read_data_yaml(tmp_path / "data.yaml") == wanted


@pytest.mark.parametrize(
    "text, message",
    [
        ("names: [a, [b]]", "line 1: "),
        ("names: [a, b", "line 1: '.a, b' needs more of YAML"),
        ("names: [a: b]", "line 1: 'a : b' needs more"),
        ("names: {a}", "line 1: 'a' needs more"),
        ("names: ['a, b]", "line 1: .* needs more"),
        ("names: [a] b", "line 1: .* needs more"),
        ("names: &anchor [a]", "line 1: '&anchor .a.' needs more"),
        ("names: *alias", "line 1: .* needs more"),
        ("names: !!python/object:os.system [a]", "line 1: .* needs more"),
        ("names: |\n  a\n  b", "line 2: 'a' needs more|line 2: .* needs more"),
        ("names: a\n  b", "line 2: .* needs more"),
        ("names:\n  - a\n    - b", "line 2: .* needs more"),
        ("names:\n  - a\n  0: b", "line 3: '0: b' needs more"),
        ("names:\n  - a: b", "line 2: 'a: b' needs more"),
        ("names:\n  - [a]", "line 2: '.a.' needs more"),
        ("names:\n  0:\n    a: b", "line 2: .* needs more"),
        ("names:\n  a b", "line 2: 'a b' needs more"),
        ("names: [a]\nnames: [b]", "line 2 has the key 'names' again"),
        ("names:\n  0: a\n  0: b", "line 3 has the key '0' again"),
        ("names: {0: a, 0: b}", "line 1 has the key '0' again"),
        ("- a\n- b", "line 1 is '- a'; want a key"),
        ('names: ["\\x41"]', "line 1: .* needs more"),
    ],
)
def test_what_is_not_read(tmp_path, text, message):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_data_yaml(tmp_path / "data.yaml")
    assert "data.yaml: line" in str(caught.value) and "\n" not in str(caught.value)
