import os

from gluonnorm.data import DataError
from gluonnorm.data.json_file import (
    read_json,
    required_integer,
    required_text,
    shorten,
    to_float,
    to_integer,
)

import pytest

TEXT = '{"name": "käfer \u732b"}'


def repr_of_type(value):
    """A short name of a case; pytest would write out an integer of 400 digits."""
    return type(value).__name__


@pytest.fixture
def write(tmp_path):
    def write_bytes(content):
        path = tmp_path / "x.json"
        path.write_bytes(content)
        return path

    return write_bytes


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_every_unicode_encoding_is_read(write, encoding):
    assert read_json(write(TEXT.encode(encoding))) == {"name": "käfer \u732b"}


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "the file is empty"),
        (b" \n ", "the file is empty"),
        (b'{"a": [', "Expecting value"),
        ('{"a": "\u00e4"}'.encode("latin-1"), "not text in UTF-8 or UTF-16, byte 7 is wrong"),
        (b'{"a": ' + b"[" * 200000, "nested too deeply"),
        (b'{"a": ' * 200000, "nested too deeply"),
        (b'{"a": 1, "b": 2, "a": 3}', "an object has the key 'a' more than once"),
        (b'{"b": [{"a": 1, "a": 1}]}', "an object has the key 'a' more than once"),
        (b"\xff\xd8\xff\xe0 JFIF", "not text in UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer string conversion"),
    ],
)
def test_what_is_no_json_object_is_one_line(write, content, reason):
    with pytest.raises(DataError, match=f"x.json: is not valid JSON.*{reason}") as caught:
        read_json(write(content))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_missing_file_a_folder_and_a_pipe(tmp_path):
    with pytest.raises(DataError, match="absent.json: cannot be read: No such file"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_json(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: is not valid JSON: it is no regular file"):
        read_json(tmp_path / "pipe")


@pytest.mark.parametrize(
    "value, number, integer",
    [
        (3, 3.0, 3),
        (3.0, 3.0, 3),
        (-2, -2.0, -2),
        (3.5, 3.5, None),
        (2**62 + 1, float(2**62), 2**62 + 1),
        (10**400, float("inf"), None),
        (-(10**400), -float("inf"), None),
        (float("inf"), float("inf"), None),
        (True, None, None),
        ("3", None, None),
        (None, None, None),
        ([3], None, None),
    ],
    ids=repr_of_type,
)
def test_numbers(value, number, integer):
    assert to_float(value) == number and to_integer(value) == integer
    assert to_integer(float("nan")) is None


def test_required_values():
    entry = {"id": 4.0, "name": "cat", "none": None, "blank": " ", "text": "4"}
    assert required_integer(entry, "id", "x") == 4 and required_text(entry, "name", "x") == "cat"
    with pytest.raises(DataError, match="x: entry 0 has no 'size'; the format wants it, add it"):
        required_integer(entry, "size", "x: entry 0")
    with pytest.raises(DataError, match="x has text '4'; want an integer"):
        required_integer(entry, "text", "x")
    with pytest.raises(DataError, match="x has no 'id'"):
        required_integer("text", "id", "x")
    for key in ("none", "blank", "id"):
        with pytest.raises(DataError, match=f"x has {key} .*; want a text that is not empty"):
            required_text(entry, key, "x")


def test_huge_values_are_described_not_written_out():
    deep = []
    for _ in range(100000):
        deep = [deep]
    assert shorten(deep) == "a list of length 1"
    assert shorten([0] * 10**6) == "a list of length 1000000"
    assert shorten(9**9999) == "an integer of more than 64 bits"
    assert shorten({"a": 1}) == "an object with 1 keys"
