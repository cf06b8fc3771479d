import shutil
import subprocess
from pathlib import Path

from gluonnorm.deploy import load

import mxnet as mx
import numpy as np
import pytest
from tiny_detector import images
from tiny_export import exported

MXNET = Path(mx.__file__).parent


@pytest.fixture(scope="module")
def predict(tmp_path_factory):
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler (g++ or c++) on this machine")
    program = tmp_path_factory.mktemp("program") / "predict"
    source = Path(__file__).with_name("predict.cpp")
    subprocess.run(
        [
            compiler,
            "-std=c++11",
            "-Wall",
            f"-I{MXNET / 'include'}",
            str(source),
            "-o",
            str(program),
            f"-L{MXNET}",
            "-l:libmxnet.so",
            f"-Wl,-rpath,{MXNET}",
            "-Wl,--allow-shlib-undefined",
        ],
        check=True,
    )
    return program


def answers(program, prefix, x, folder):
    given, found = folder / "input", folder / "output"
    x.asnumpy().astype(np.float32).tofile(given)
    subprocess.run(
        [str(program), prefix, *(str(x.shape[axis]) for axis in (0, 2, 3)), str(given), str(found)],
        check=True,
    )
    data, outputs = found.read_bytes(), []
    while data:
        axes = int(np.frombuffer(data, np.uint32, 1)[0])
        shape = np.frombuffer(data, np.uint32, axes, 4)
        size = int(shape.prod())
        outputs.append(np.frombuffer(data, np.float32, size, 4 + 4 * axes).reshape(shape))
        data = data[4 + 4 * axes + 4 * size :]
    return outputs


@pytest.mark.parametrize("kind, size", [("c4", (1, 64, 96)), ("mask_fpn", (2, 120, 90))])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_program_in_c_answers_like_the_block(predict, dtype, kind, size, tmp_path):
    prefix, x = exported(tmp_path, kind, dtype), images(*size)
    found, expected = (
        answers(predict, prefix, x, tmp_path),
        [output.asnumpy() for output in load(prefix)[0](x)],
    )
    assert (expected[1] > 0).sum() > 5 and len(found) == len(expected)
    for output, wanted in zip(found, expected):
        np.testing.assert_allclose(output, wanted, rtol=0, atol=1e-4)
