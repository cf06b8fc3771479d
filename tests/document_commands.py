"""The commands of the documentation that start a script."""

import itertools
import re
import shlex
from typing import List, NamedTuple

# Blocks of every language are matched, so that the end of one is not taken for a beginning.
BLOCK = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = ("", "sh", "bash", "console")  # of the shell
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
        if block["language"] not in LANGUAGES:
            continue
        for match in COMMAND.finditer(block["text"].replace("\\\n", " ")):
            # Such commands repeat the flags of another one, or have them in variables.
            if "..." in match["rest"] or "$" in match["rest"]:
                continue
            commands.append(Command(document, match["script"], words_of_command(match["rest"])))
    return commands
