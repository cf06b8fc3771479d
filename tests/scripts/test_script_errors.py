"""How a script ends: errors of the user are one line and status 2, a bug keeps its traceback."""

import argparse
import importlib
import io
import os
import subprocess
import sys

import model_zoo
from gluonnorm.errors import GluonnormError, InputError
from gluonnorm.training import Interrupted

import mxnet as mx
import pytest
from in_process import SCRIPTS, run_script

NETWORK = "faster_rcnn_resnet18_v1b_custom"
ALL_SCRIPTS = sorted(path.name for path in SCRIPTS.glob("[a-z]*.py"))


@pytest.fixture()
def run(monkeypatch):
    """``_cli.run``, the one place that turns errors into a line."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("_cli").run


def raising(error):
    """A ``main`` that raises."""

    def main(args):
        raise error

    return main


@pytest.mark.parametrize(
    "error",
    [
        InputError("--x is 3;\n want 4"),
        GluonnormError("--x is 3;  want 4"),
        OSError("--x is 3; want 4"),
    ],
)
def test_errors_of_the_user_are_one_line_and_status_two(run, capsys, error):
    with pytest.raises(SystemExit) as stop:
        run(raising(error), None)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: --x is 3; want 4\n"


def test_an_error_without_words_has_the_name_of_its_class(run, capsys):
    with pytest.raises(SystemExit):
        run(raising(PermissionError()), None)
    assert capsys.readouterr().err == "error: PermissionError\n"


@pytest.mark.parametrize(
    "error, status, text",
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (Interrupted(7), 130, "interrupted after step 7; --resume continues the run\n"),
    ],
)
def test_ctrl_c_is_no_error(run, capsys, error, status, text):
    with pytest.raises(SystemExit) as stop:
        run(raising(error), None)
    assert stop.value.code == status and capsys.readouterr().err == text


def test_a_terminal_that_cannot_print_a_name_gets_its_code(run, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit) as stop:
        run(print, "2 猫, 1 قطة -> caf\udce9.jpg")
    assert not stop.value.code
    terminal.flush()
    printed = terminal.buffer.getvalue().decode("ascii")
    assert printed == "2 \\u732b, 1 \\u0642\\u0637\\u0629 -> caf\\udce9.jpg\n"


@pytest.mark.parametrize("status", [None, 0, 1])
def test_the_status_is_what_main_returns(run, status):
    with pytest.raises(SystemExit) as stop:
        run(lambda args: args, status)
    assert stop.value.code == status


@pytest.mark.parametrize(
    "bug",
    [
        ValueError("a"),
        TypeError("b"),
        KeyError("c"),
        AssertionError("d"),
        RuntimeError("e"),
        mx.MXNetError("f"),
    ],
)
def test_a_bug_is_raised_as_it_is(run, bug):
    with pytest.raises(type(bug)) as raised:
        run(raising(bug), None)
    assert raised.value is bug


def test_a_bug_in_a_script_of_its_own_process_keeps_its_traceback(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from _cli import run\n\n\ndef main(args):\n    return int('three')\n\n\nrun(main, None)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "return int('three')" in done.stderr
    assert done.stderr.rstrip().endswith(
        "ValueError: invalid literal for int() with base 10: 'three'"
    )


def test_a_terminal_that_cannot_print_a_name_does_not_end_a_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from _cli import run\nfrom tqdm import tqdm\n\n\ndef main(args):\n"
        "    print('\\u732b 1')\n    tqdm.write('\\u732b 2')\n    return 3\n\n\nrun(main, None)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])}
    environment["PYTHONIOENCODING"] = "ascii"
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 3 and done.stderr == "", done.stderr
    assert done.stdout == "\\u732b 1\n\\u732b 2\n"


def run_program(tmp_path, lines, shell="", **environment):
    """Run a script of one ``main``, whose lines are given, in a process of its own."""
    body = "\n".join(f"    {line}" for line in lines)
    script = tmp_path / "script.py"
    script.write_text(
        f"import os\nfrom _cli import run\n\n\ndef main(args):\n{body}\n\n\nrun(main, None)\n",
        encoding="utf-8",
    )
    paths = os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])
    command = f"set -o pipefail; {sys.executable} script.py {shell}"
    return subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_leaves_ends_a_script_in_silence(tmp_path, lines):
    # One line fails when the buffer is flushed at the end, many fail in the middle.
    program = ["import time", "time.sleep(0.5)", f"print('a\\n' * {lines})"]
    done = run_program(tmp_path, program, "| true")
    assert (done.returncode, done.stderr) == (141, "")


def test_closed_streams_do_not_become_files(tmp_path):
    program = ["file = open('result.txt', 'w')", "os.write(1, b'noise')", "os.write(2, b'noise')"]
    done = run_program(tmp_path, [*program, "print('a')", "file.write('right')"], ">&- 2>&-")
    assert done.returncode == 0
    assert (tmp_path / "result.txt").read_text() == "right"


def test_file_names_that_the_locale_does_not_have_are_one_line(tmp_path):
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for program in (
        ["open('k\\u00e4se', 'w')"],
        ["from gluonnorm.photos.files import read_image", "read_image('k\\u00e4se.jpg')"],
    ):
        done = run_program(tmp_path, program, **ascii_locale)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("error: ") and "k\\xe4se" in done.stderr
        assert "PYTHONUTF8=1 has them in UTF-8" in done.stderr


def test_a_prefix_that_the_locale_does_not_have_ends_a_run_before_its_work(run, capsys):
    module = importlib.import_module("train_faster_rcnn")
    flags = ["--network", "nobody", "--data-root", "nowhere", "--save-prefix", "r/k\udce4se"]
    with pytest.raises(SystemExit) as stop:
        run(module.main, module.parse_args(flags))
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: 'r/k\\udce4se' cannot be written in utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of a detector, good and cut, and a checkpoint's .json that is damaged."""
    folder = tmp_path_factory.mktemp("weights")
    net = model_zoo.get_model(NETWORK, classes=("a", "b"))
    net(mx.nd.zeros((1, 3, 64, 64)))
    net.save_parameters(str(folder / "net.params"))
    (folder / "cut.params").write_bytes((folder / "net.params").read_bytes()[:5000])
    (folder / "damaged.json").write_text('{"spec": {')
    (folder / "older.json").write_text(
        '{"spec": {"model": 3}, "state": {"step": 3}, "trained": [], "files": {"params": '
        '{"size": 3, "sha256": ""}, "states": {"size": 3, "sha256": ""}}}'
    )
    return folder


EXPORT = [
    "--classes",
    "a",
    "b",
    "--output",
    "out/net",
    "--network",
    NETWORK,
    "--params",
    "net.params",
]


@pytest.mark.parametrize(
    "script, flags, words",
    [
        ("export.py", [*EXPORT, "--set", "nms_treshold=1"], ["nms_treshold", "nms_thresh"]),
        (
            "export.py",
            [*EXPORT, "--set", "nms_thresh=high"],
            ["--set nms_thresh=high: give NAME=VALUE", "None or a text in quotes, such as"],
        ),
        ("export.py", [*EXPORT, "--network", "faster_rcnn_resnet19_v1b_custom"], [NETWORK]),
        ("export.py", [*EXPORT, "--norm", "groupnorm"], ["groupnorm", "gn"]),
        ("export.py", [*EXPORT, "--params", "absent.params"], ["absent.params", "no such file"]),
        (
            "export.py",
            [*EXPORT, "--params", "cut.param"],
            ["no such file of weights", "did you mean", "cut.params"],
        ),
        ("export.py", [*EXPORT, "--params", "cut.params"], ["cut.params"]),
        (
            "export.py",
            [*EXPORT, "--image-size", "-1", "9"],
            ["--image-size is -1 9; want a height and a width"],
        ),
        (
            "export.py",
            [*EXPORT, "--dtype", "int8", "--calibration", ".", "--num-calibration", "-3"],
            ["--num-calibration is -3; want at least 1 photo"],
        ),
        ("export.py", [*EXPORT, "--seed", "-1"], ["--seed is -1; want 0 to 4294967295"]),
        (
            "quickstart.py",
            ["--output", "out", "--seed", str(2**32)],
            ["--seed is 4294967296; want 0 to 4294967295"],
        ),
        ("benchmark.py", ["--output", "out/a.md", "--seed", "-1"], ["--seed is -1; want 0 to"]),
        (
            "demo.py",
            ["absent.jpg", "--exported", "cut", "--score-thresh", "50"],
            ["--score-thresh is 50; want a score in 0..1"],
        ),
        (
            "demo.py",
            ["absent.jpg", "--exported", "cut", "--score-thresh", "nan"],
            ["--score-thresh is nan; want a score in 0..1"],
        ),
        (
            "analyze.py",
            ["--exported", "cut", "--data-root", ".", "--iou-thresh", "0.1"],
            ["--iou-thresh is 0.1; want an IoU above 0.1"],
        ),
        (
            "train_faster_rcnn.py",
            ["--network", NETWORK, "--data-root", ".", "--log-interval", "0"],
            ["--log-interval is 0; want at least 1"],
        ),
        *(
            (script, [*flags, "--data-root", ".", "-j", "0"], ["--num-workers is 0; want at least"])
            for script, flags in (
                ("train_faster_rcnn.py", ["--network", NETWORK]),
                ("check_dataset.py", []),
                ("eval_faster_rcnn.py", ["--exported", "cut"]),
                ("analyze.py", ["--exported", "cut"]),
            )
        ),
        *(
            (script, ["--exported", "cut", "--data-root", ".", "--batch-size", "-1"], [message])
            for script, message in (
                ("eval_faster_rcnn.py", "--batch-size is -1; want at least 1"),
                ("analyze.py", "--batch-size is -1; want at least 1"),
            )
        ),
        *(
            (script, flags, [f"{flag}: the folder net.params", " cannot be made (", "name another"])
            for script, flags, flag in (
                (
                    "train_faster_rcnn.py",
                    ["--network", NETWORK, "--data-root", ".", "--save-prefix", "net.params/run"],
                    "--save-prefix net.params/run",
                ),
                (
                    "check_dataset.py",
                    ["--data-root", ".", "--draw", "net.params"],
                    "--draw net.params",
                ),
                (
                    "eval_faster_rcnn.py",
                    ["--exported", "cut", "--data-root", ".", "--save-json", "net.params/a.json"],
                    "--save-json net.params/a.json",
                ),
                (
                    "export.py",
                    [*EXPORT, "--output", "net.params/a/net"],
                    "--output net.params/a/net.json",
                ),
            )
        ),
        ("export.py", [*EXPORT, "--image", "absent.jpg"], ["absent.jpg: no such image file"]),
        (
            "export.py",
            ["--output", "out/net", "--params", "damaged.json"],
            ["damaged.json cannot be read"],
        ),
        (
            "export.py",
            ["--output", "out/net", "--params", "older.json"],
            ["older.json describes no network"],
        ),
        ("export.py", ["--output", "out/net", "--params", "absent.json"], ["absent.json"]),
        ("demo.py", ["absent.jpg", "--exported", "cut"], ["cut"]),
        (
            "convert.py",
            [
                "--network",
                "resnet18_v1b",
                "--source",
                "torchvision",
                "--weights",
                "absent.pth",
                "--output",
                "out/a.params",
            ],
            ["absent.pth: no such file"],
        ),
        (
            "convert.py",
            [
                "--network",
                "resnet18_v1b",
                "--source",
                "gluoncv",
                "--weights",
                "cut.params",
                "--output",
                "out/a.params",
            ],
            ["cut.params"],
        ),
        (
            "convert.py",
            [
                "--network",
                "resnet18_v1b",
                "--source",
                "gluoncv",
                "--weights",
                "net.params",
                "--output",
                "out/a.pth",
            ],
            ["--output out/a.pth", ".params"],
        ),
        (
            "convert.py",
            [
                "--network",
                "resnet18_v1b",
                "--head-norm",
                "gn",
                "--source",
                "gluoncv",
                "--weights",
                "net.params",
                "--output",
                "out/a.params",
            ],
            ["bare backbone"],
        ),
    ],
)
def test_what_the_user_can_cause_is_one_line(folder, monkeypatch, script, flags, words):
    monkeypatch.chdir(folder)
    done = run_script(script, *flags)
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--outptu", "out/net"],
            "unrecognized arguments: --outptu out/net; did you mean --output",
        ),
        (["--plugin"], "argument --plugin: expected one argument"),
        (["more"], "unrecognized arguments: more"),
    ],
)
def test_a_wrong_flag_is_one_line(flags, message):
    done = run_script("export.py", *EXPORT, *flags)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"export.py: error: {message}")
    assert done.stderr.count("\n") == 1 and "--help shows the flags" in done.stderr


@pytest.mark.parametrize(
    "script, flags",
    [
        ("train_faster_rcnn.py", ["--resume", ""]),
        ("train_faster_rcnn.py", ["--pretrained", ""]),
        ("train_faster_rcnn.py", ["--pretrained-base="]),
        ("train_faster_rcnn.py", ["--annotations", ""]),
        ("train_faster_rcnn.py", ["--box-loss", ""]),
        ("train_faster_rcnn.py", ["--augment", "vertical_flip", ""]),
        ("eval_faster_rcnn.py", ["--save-json", "", "--exported", "cut"]),
        ("check_dataset.py", ["--params", ""]),
    ],
)
def test_an_empty_value_is_not_taken_for_none(script, flags):
    """As of an unset variable of the shell: --pretrained "" trained from scratch."""
    more = ["--network", NETWORK] if script == "train_faster_rcnn.py" else []
    done = run_script(script, "--data-root", ".", *more, *flags)
    name = flags[0].rstrip("=")
    assert done.returncode == 2 and done.stderr == (
        f"{script}: error: argument {name}: a value is empty; give one, or leave it out; --help "
        "shows the flags\n"
    )


def test_an_empty_list_of_gpus_is_the_cpu():
    done = run_script("eval_faster_rcnn.py", "--exported", "cut", "--data-root", ".", "--gpus", "")
    assert "cut" in done.stderr and "empty" not in done.stderr


@pytest.mark.parametrize("script", ALL_SCRIPTS)
def test_a_list_that_is_given_in_two_parts_is_complete(script, monkeypatch):
    """argparse alone would take the last part, so ``--set a=1 --set b=2`` would lose ``a=1``."""
    parsers = []

    def remember(parser, args=None, namespace=None):
        parsers.append(parser)
        parser.exit()

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", remember)
    run_script(script)
    for action in parsers[0]._actions:
        if action.nargs in ("+", "*") and action.option_strings:
            flag = action.option_strings[0]
            single = argparse.ArgumentParser(prog=flag)
            single._add_action(action)
            monkeypatch.undo()
            parsed = vars(single.parse_args([flag, "1", "2", flag, "3"]))[action.dest]
            assert list(map(str, parsed)) == ["1", "2", "3"], flag


@pytest.mark.parametrize("script", ALL_SCRIPTS)
def test_every_script_explains_itself_and_has_a_seed(script):
    done = run_script(script, "--help")
    assert done.stdout.isascii(), "a terminal may be unable to print other characters"
    assert done.returncode == 0 and f"python scripts/{script}" in done.stdout
    assert "--seed" in done.stdout and "examples:" in done.stdout.lower().replace(
        "example:", "examples:"
    )
