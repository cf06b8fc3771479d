"""Every command of the documentation has flags that its script knows."""

import importlib
import shlex

import pytest
from document_commands import Command, commands_of
from in_process import SCRIPTS

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
    )
    assert commands_of(text) == [
        Command("", "demo", ["--json", "out.json", "a.jpg"]),
        Command("", "serve", []),
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
