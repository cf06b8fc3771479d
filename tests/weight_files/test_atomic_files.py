"""Files that appear completely or not at all."""

import hashlib
import os

from gluonnorm.weight_files import atomic_files, file_digest, remove_if_exists

import pytest


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def paths_in(folder):
    return [str(folder / name) for name in ("weights", "state", "header")]


def test_files_appear_at_the_end(tmp_path):
    with atomic_files(*paths_in(tmp_path)) as temporaries:
        for temporary in temporaries:
            write(temporary, "new")
        assert not any(os.path.exists(path) for path in paths_in(tmp_path))
    assert content(tmp_path) == {"weights": "new", "state": "new", "header": "new"}


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, OSError])
def test_an_error_in_the_body_leaves_the_old_files(tmp_path, error):
    for path in paths_in(tmp_path):
        write(path, "old")
    with pytest.raises(error):
        with atomic_files(*paths_in(tmp_path)) as temporaries:
            write(temporaries[0], "new")
            raise error
    assert content(tmp_path) == {"weights": "old", "state": "old", "header": "old"}


def test_a_file_that_the_body_did_not_write(tmp_path):
    with pytest.raises(FileNotFoundError):
        with atomic_files(*paths_in(tmp_path)) as temporaries:
            write(temporaries[0], "new")
    assert content(tmp_path) == {}


@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_a_failed_renaming_leaves_no_mixture(tmp_path, monkeypatch, fail_at):
    """The old header is gone before the first file is renamed, so new files never have it."""
    for path in paths_in(tmp_path):
        write(path, "old")
    replace = os.replace
    calls = []

    def fail(source, target):
        assert not os.path.exists(tmp_path / "header")
        calls.append(target)
        if len(calls) == fail_at:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        with atomic_files(*paths_in(tmp_path)) as temporaries:
            for temporary in temporaries:
                write(temporary, "new")
    assert content(tmp_path) == {}


def test_an_interruption_after_the_last_renaming_keeps_the_set(tmp_path, monkeypatch):
    replace = os.replace

    def interrupt(source, target):
        replace(source, target)
        if target.endswith("header"):
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        with atomic_files(*paths_in(tmp_path)) as temporaries:
            for temporary in temporaries:
                write(temporary, "new")
    assert content(tmp_path) == {"weights": "new", "state": "new", "header": "new"}


def test_a_failed_renaming_of_one_file_keeps_the_old_one(tmp_path, monkeypatch):
    path = str(tmp_path / "weights")
    write(path, "old")

    def fail(source, target):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError):
        with atomic_files(path) as (temporary,):
            write(temporary, "new")
    assert content(tmp_path) == {"weights": "old"}


def test_a_pipe_and_a_folder_stay(tmp_path):
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder):
        with pytest.raises(FileExistsError, match="is no file"):
            with atomic_files(str(path)):
                pytest.fail("the body is not reached")
    assert pipe.is_fifo() and folder.is_dir()
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_remove_if_exists(tmp_path):
    write(tmp_path / "file", "")
    remove_if_exists(str(tmp_path / "file"))
    remove_if_exists(str(tmp_path / "file"))
    write(tmp_path / "file", "")
    remove_if_exists(str(tmp_path / "file" / "below"))
    with pytest.raises(OSError):
        remove_if_exists(str(tmp_path))


def test_digest(tmp_path):
    data = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(data)
    assert file_digest(str(tmp_path / "file")) == hashlib.sha256(data).hexdigest()
    assert file_digest(str(tmp_path / "file"), "md5") == hashlib.md5(data).hexdigest()
