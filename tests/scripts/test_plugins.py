"""``--plugin``: every script imports the user's own modules before its work."""

import sys

import pytest
from in_process import SCRIPTS, run_script

# What makes each script end soon, and after the plugins are imported.
SHORT_RUNS = {
    "train_faster_rcnn.py": ["--network", "nobody", "--data-root", "nowhere"],
    "eval_faster_rcnn.py": ["--params", "nowhere.json", "--data-root", "nowhere"],
    "analyze.py": ["--params", "nowhere.json", "--data-root", "nowhere"],
    "export.py": ["--params", "nowhere.json", "--output", "out"],
    "convert.py": ["--list"],
    "demo.py": ["nowhere.jpg", "--params", "nowhere.json"],
    "quickstart.py": ["--images", "0", "--output", "quick"],
    "benchmark.py": ["--list"],
    "serve.py": ["--exported", "nowhere"],
    "benchmark_service.py": ["nowhere.jpg", "--exported", "nowhere"],
    "experiment.py": ["--list"],
}


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """The current folder, with nothing of it left on Python's path or among its modules."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def test_every_script_with_a_main_is_tried():
    scripts = {path.name for path in SCRIPTS.glob("*.py") if not path.name.startswith("_")}
    has_flag = {name for name in scripts if "add_plugin_argument" in (SCRIPTS / name).read_text()}
    assert set(SHORT_RUNS) <= has_flag == scripts


@pytest.mark.parametrize("script", SHORT_RUNS)
def test_a_plugin_of_the_current_folder_is_imported_first(folder, script):
    (folder / "my_parts.py").write_text(
        "import pathlib\npathlib.Path('imported').write_text('yes')\n"
        "from gluonnorm.errors import InputError\nraise InputError('enough')\n"
    )
    done = run_script(script, *SHORT_RUNS[script], "--plugin", "my_parts")
    assert (folder / "imported").exists()
    assert done.returncode == 2 and done.stderr == "error: enough\n"


def test_several_plugins_are_imported_in_their_order(folder):
    (folder / "first_part.py").write_text("names = ['first']\n")
    (folder / "second_part.py").write_text(
        "import first_part\nfirst_part.names.append('second')\n"
        "from gluonnorm.errors import InputError\nraise InputError(str(first_part.names))\n"
    )
    done = run_script("convert.py", "--list", "--plugin", "first_part", "--plugin", "second_part")
    assert done.stderr == "error: ['first', 'second']\n"


@pytest.mark.parametrize(
    "content, words",
    [
        (None, ["no such module", "without .py", "current folder"]),
        ("import nothing_of_this_name\n", ["ModuleNotFoundError", "my_parts.py, line 1"]),
        ("x = 1\ny = int('a')\n", ["ValueError: invalid literal", "my_parts.py, line 2"]),
        ("def f(:\n", ["SyntaxError", "my_parts.py, line 1"]),
    ],
)
def test_a_plugin_that_fails_is_one_line_with_its_place(folder, content, words):
    if content is not None:
        (folder / "my_parts.py").write_text(content)
    done = run_script("convert.py", "--list", "--plugin", "my_parts")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    for word in ["error: --plugin my_parts", *words]:
        assert word in done.stderr


def test_the_name_of_a_file_is_refused_with_the_way_out(folder):
    (folder / "my_parts.py").write_text("")
    done = run_script("convert.py", "--list", "--plugin", "my_parts.py")
    assert done.returncode == 2
    assert "give the name of a module without .py" in done.stderr
