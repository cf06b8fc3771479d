"""The colors of the C++ program are those of Python."""

import json
import shutil
import subprocess
from pathlib import Path

from gluonnorm.class_colors import PALETTE, class_colors, letters_on
from model_zoo.classes import COCO_CLASSES

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "docs" / "deploy" / "cpp"
MAIN = """
#include <cstdio>
#include "class_colors.h"
int main(int count, char** words) {
  for (const Color& color : class_colors({words + 1, words + count})) {
    std::printf("[%d, %d, %d, %d]\\n", color[0], color[1], color[2], letters_on(color)[0]);
  }
}
"""


def test_names_have_the_same_colors_and_letters(tmp_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    (tmp_path / "main.cpp").write_text(MAIN)
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{PROGRAM}"]
    command += [tmp_path / "main.cpp", PROGRAM / "class_colors.cpp", "-o", tmp_path / "colors"]
    subprocess.run(command, check=True)
    for names in (COCO_CLASSES, ["RBC", "WBC", "Plätt", "猫", ""]):
        printed = subprocess.run(
            [tmp_path / "colors", *names], check=True, capture_output=True, text=True
        ).stdout
        expected = [[*color, letters_on(color)[0]] for color in class_colors(names)]
        assert [json.loads(line) for line in printed.splitlines()] == expected
    assert {tuple(color) for color in class_colors(COCO_CLASSES)} == set(PALETTE)
