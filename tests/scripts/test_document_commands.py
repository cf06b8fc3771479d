"""Every command of the documentation has flags that its script knows."""

import importlib
import itertools
import re
import shlex
from typing import List, NamedTuple

import pytest
from in_process import SCRIPTS

REPOSITORY = SCRIPTS.parent
DOCUMENTS = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(?:sh|bash|console)?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\bpython(?:3[.\d]*)? (?:-\S+ )*scripts/(?P<script>\w+)\.py(?P<rest>.*)")


class Command(NamedTuple):
    """One command of a document."""

    document: str
    script: str
    flags: List[str]


def words_of_command(line: str) -> List[str]:
    """The words of a line of the shell, up to a pipe, a redirection or another command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    return list(itertools.takewhile(lambda word: word[0] not in "|;&<>", lexer))


def commands_of(text: str, document: str = "") -> List[Command]:
    """The commands in the code blocks of a Markdown text that start a script."""
    commands = []
    for block in BLOCK.finditer(text):
        for match in COMMAND.finditer(block["text"].replace("\\\n", " ")):
            # Such commands repeat the flags of another one, or have them in variables.
            if "..." in match["rest"] or "$" in match["rest"]:
                continue
            commands.append(Command(document, match["script"], words_of_command(match["rest"])))
    return commands


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
