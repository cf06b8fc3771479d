"""Every command of the documentation has flags that its script knows."""

import importlib
import re
import shlex
import shutil

import numpy as np
import pytest
from document_commands import Command, commands_of
from in_process import SCRIPTS, run_script
from optional_packages import require
from PIL import Image
from tiny_export import exported

REPOSITORY = SCRIPTS.parent
DOCUMENTS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
ALL_COMMANDS = [
    command
    for path in DOCUMENTS
    for command in commands_of(path.read_text(encoding="utf-8"), path.name)
]


def test_commands_are_found_with_their_flags() -> None:
    text = (
        "```\nX=1 .venv/bin/python scripts/demo.py --json out.json \\\n    a.jpg | head  # b\n"
        "python scripts/serve.py\n```\n```python\npython scripts/no.py\n```\n"
        "python scripts/no.py\n```sh\npython scripts/export.py --image a.jpg\n```\n"
    )
    assert commands_of(text) == [
        Command("", "demo", ["--json", "out.json", "a.jpg"]),
        Command("", "serve", []),
        Command("", "export", ["--image", "a.jpg"]),
    ]
    assert len(ALL_COMMANDS) > 20


@pytest.mark.parametrize("script", sorted({command.script for command in ALL_COMMANDS}))
def test_the_script_takes_the_flags(script: str, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module(script)
    for command in ALL_COMMANDS:
        if command.script != script:
            continue
        monkeypatch.setattr("sys.argv", [f"{script}.py", *command.flags])
        try:
            module.parse_args()
        except SystemExit as end:
            reason = capsys.readouterr().err
            assert end.code == 0, f"{command.document}: {shlex.join(command.flags)}\n{reason}"


def test_the_page_about_scripts_names_each_of_them() -> None:
    text = (REPOSITORY / "docs" / "scripts.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+\.py)` \|", text, flags=re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in SCRIPTS.glob("[!_]*.py"))


def test_the_page_about_deploying_detects_in_each_python(tmp_path, monkeypatch) -> None:
    require("onnx", "onnxruntime")
    text = (REPOSITORY / "docs" / "deploy.md").read_text(encoding="utf-8")
    ways = text[: text.index("## Photos and results")]
    run_here = re.sub(r"<!-- not run here: [^\n]*-->\n```\n.*?```", "", ways, flags=re.DOTALL)
    commands = [command for command in commands_of(run_here) if command.script == "demo"]
    assert len(commands) == 2
    for format in ("mxnet", "onnx"):
        exported(tmp_path, "fpn", format=format)
    (tmp_path / "out").mkdir()
    for path in tmp_path.glob("tiny*"):
        path.rename(tmp_path / "out" / path.name.replace("tiny", "blood"))
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    for command in commands:
        done = run_script("demo.py", *command.flags)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "drawn" / "photo-detections.jpg").is_file()
        shutil.rmtree("drawn")


def test_the_page_about_serving_has_the_default_limits(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr("sys.argv", ["serve.py", "--exported", "out/net"])
    serve = importlib.import_module("serve")
    args = serve.parse_args()
    serve.read_settings(args)  # chooses --max-images
    text = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `--([a-z-]+) [A-Z]+` \| (\d+)[ ,]", text, flags=re.MULTILINE)
    assert len(rows) == 7
    for flag, default in rows:
        assert getattr(args, flag.replace("-", "_")) == int(default), flag


def test_docker_gets_the_files_that_its_image_is_made_of_and_no_others() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    dockerfile = (REPOSITORY / "docs/deploy/docker/Dockerfile").read_text(encoding="utf-8")
    sources = []
    for line in re.findall(r"^COPY (.*)$", dockerfile, flags=re.MULTILINE):
        sources += line.split()[:-1]
    assert "*" in lines
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(sources)
    # Docker would open the port to other machines, and the service asks for no key by default.
    assert "-p 127.0.0.1:8000:8000 " in dockerfile
