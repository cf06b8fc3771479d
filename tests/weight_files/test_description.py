"""The small JSON files beside weights: read if they are what they claim, refused in one line."""

import os
import resource

from gluonnorm.weight_files import read_description
from gluonnorm.weight_files.description import LARGEST_FILE

import pytest

HUNDRED = "1" * 101


@pytest.fixture
def description(tmp_path):
    """A function that writes a description and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "description.json"
        path.write_text(text)
        return str(path)

    return write


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def test_an_object_is_read(description) -> None:
    assert read_description(description('{"a": [1, 2.5, null, "\u00e4"]}')) == {
        "a": [1, 2.5, None, "\u00e4"]
    }
    deep = read_description(description(nested(20)))
    for _ in range(20):
        deep = deep["a"]
    assert deep == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Expecting value"),
        ("[]", "no JSON object"),
        ("3", "no JSON object"),
        (nested(21), "nested more than 20"),
        (nested(900), "nested more than 20"),
        (nested(200000), "nested more than 20"),
        ("[" * 1000000, "nested more than 20"),
        (f'{{"step": {HUNDRED}}}', "a number of 101 digits"),
        ('{"step": ' + "7" * 1000000 + "}", "a number of 1000000 digits"),
    ],
)
def test_other_content_is_one_line(description, text, message) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read_description(description(text))
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_a_large_file_is_not_read(tmp_path) -> None:
    path = tmp_path / "large.json"
    with open(path, "w") as file:
        file.truncate(8 << 30)  # a hole: it takes no place on the disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=f"8589934592 bytes; at most {LARGEST_FILE} are read"):
        read_description(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10000  # kB


def test_what_is_no_file_is_refused_at_once(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "zero.json", "."):
        with pytest.raises(ValueError, match="not a regular file"):
            read_description(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        read_description(str(tmp_path / "absent.json"))
