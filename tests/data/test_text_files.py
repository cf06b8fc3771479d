from gluonnorm.data import DataError
from gluonnorm.data.text_files import read_lines, read_text

import pytest


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffa b\r\n\r\n  \u00e4 \n".encode(),
        "a b\n\n\u00e4".encode("utf-16"),
        b"a b\r\r\xc3\xa4\r",
    ],
)
def test_lines_with_their_numbers(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    assert read_lines(tmp_path / "list.txt") == [(1, "a b"), (3, "\u00e4")]


@pytest.mark.parametrize("content", [b"\xe9t\xe9\n", "a\n".encode("utf-16-le"), b"\xff\xfe\x00"])
def test_other_encodings(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match="list.txt: is not a text file in UTF-8: .*; save it as"):
        read_text(tmp_path / "list.txt")


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="list.txt: cannot be read: No such file"):
        read_text(tmp_path / "list.txt")
