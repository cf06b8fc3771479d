"""``train_faster_rcnn.py --amp`` and ``--dtype``: what they refuse, what they say, how they resume.

No GPU was at hand. ``float16_on_cpu`` says what the tests on the CPU show.
"""

from gluonnorm import processor, training
from gluonnorm.data import draw_shapes

import mxnet as mx
import numpy as np
import pytest
from float16_on_cpu import allow_float16
from in_process import run_script

SETTINGS = (
    "short=32 max_size=48 fpn_channels=32 rpn_channels=8 "
    "anchor_sizes=((12,),(16,),(20,),(32,),(64,)) num_sample=8 rpn_num_sample=16 "
    "rpn_train_pre_nms=50 rpn_train_post_nms=20"
).split()
STEPS = 3  # of an epoch: six images, two at a time


def train(root, *flags):
    return run_script(
        "train_faster_rcnn.py",
        *("--network", "faster_rcnn_fpn_resnet18_v1b_custom", "--norm", "gn"),
        *("--dataset", "coco", "--data-root", root, "--train-split", "train"),
        *("--batch-size", 2, "--lr", 0.001, "--val-interval", 0, "--set", *SETTINGS),
        *flags,
    )


def arrays(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=2 * STEPS, val=1, size=(48, 64))
    return folder


@pytest.mark.parametrize(
    "flags, messages",
    [
        (["--amp"], ["--amp (--dtype float16): float16 cannot train on cpu(0)", "give bfloat16"]),
        (["--dtype", "float16"], ["float16 cannot train on cpu(0)", "give bfloat16 or float32"]),
    ],
)
def test_float16_on_the_cpu_is_refused_before_any_work(tmp_path, flags, messages):
    done = train("nowhere", *flags, "--save-prefix", tmp_path / "run")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert all(message in done.stderr for message in messages), done.stderr
    assert not list(tmp_path.iterdir())


def test_amp_is_a_dtype_of_its_own():
    done = train("nowhere", "--amp", "--dtype", "bfloat16")
    assert done.returncode == 2
    assert "argument --dtype: not allowed with argument --amp" in done.stderr


def pretend(monkeypatch, *instructions):
    processors = [{"processor": "0", "flags": " ".join(["fpu", *instructions])}]
    monkeypatch.setattr(processor, "read_processors", lambda: processors)


def test_an_emulated_dtype_is_noted(shapes, monkeypatch):
    pretend(monkeypatch, "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl")
    assert train(shapes, "--print-recipe").stderr == ""
    assert train(shapes, "--print-recipe", "--dtype", "bfloat16").stderr == (
        "note: --dtype bfloat16: the processor has none of amx_bf16, avx512_bf16, so bfloat16 is "
        "emulated, and slower than float32; --dtype float32 trains faster\n"
    )


def test_a_dtype_that_the_processor_lacks_is_refused_before_any_work(monkeypatch):
    pretend(monkeypatch, "avx2")
    done = train("nowhere", "--dtype", "bfloat16")
    assert done.returncode == 2 and done.stderr == (
        "error: --dtype bfloat16: the processor lacks avx512bw, avx512dq, avx512f, avx512vl, so "
        "bfloat16 does not run; give float32\n"
    )


def test_a_run_goes_on_in_another_dtype_and_says_so(shapes, tmp_path):
    prefix = tmp_path / "run"
    assert train(shapes, "--epochs", 1, "--save-prefix", prefix).stderr == ""
    before = arrays(f"{prefix}-{STEPS:07d}.params")
    flags = ["--epochs", 2, "--save-prefix", prefix, "--dtype", "bfloat16", "--resume"]
    done = train(shapes, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "note: --resume: --dtype was float32 and is bfloat16; the run goes on with the new values, "
        "and will not repeat one that was never stopped\n"
    )
    after = arrays(f"{prefix}-{2 * STEPS:07d}.params")
    assert {value.dtype for value in after.values()} == {np.dtype("float32")}
    changes = [np.abs(after[name] - value).max() for name, value in before.items()]
    assert 1e-6 < max(changes) < 0.1
    assert train(shapes, *flags).stderr == ""


@pytest.mark.slow
def test_a_run_with_amp_resumes_bit_for_bit_with_its_loss_scale(shapes, tmp_path, monkeypatch):
    allow_float16(monkeypatch)
    whole, stopped = (tmp_path / name for name in ("whole", "stopped"))
    assert train(shapes, "--amp", "--epochs", 2, "--save-prefix", whole).returncode == 0
    assert train(shapes, "--amp", "--epochs", 1, "--save-prefix", stopped).returncode == 0
    done = train(shapes, "--amp", "--epochs", 2, "--save-prefix", stopped, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    last = f"{2 * STEPS:07d}"
    wanted = arrays(f"{whole}-{last}.params")
    for name, value in arrays(f"{stopped}-{last}.params").items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)
    states = [training.read(f"{prefix}-{last}.json")["state"] for prefix in (whole, stopped)]
    assert states[0] == states[1]
    log = (tmp_path / "whole.log").read_text()
    skipped = log.count("gradients overflowed, so this step made no update")
    assert skipped > 0
    scale = {"value": 2.0**16 / 2**skipped, "good_steps": 2 * STEPS - skipped}
    assert states[0]["loss_scale"] == scale
    # Another type goes on from the same weights, and needs no scale.
    done = train(shapes, "--epochs", 3, "--save-prefix", stopped, "--resume")
    assert "note: --resume: --dtype was float16 and is float32; the run goes on" in done.stderr
    assert "loss_scale" not in training.read(f"{stopped}-{3 * STEPS:07d}.json")["state"]
