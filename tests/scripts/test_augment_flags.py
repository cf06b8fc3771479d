"""The flags that change and choose training images."""

import argparse
import importlib
import shutil

from gluonnorm import training
from gluonnorm.data import GluonCVDataset, draw_shapes
from gluonnorm.errors import InputError
from gluonnorm.photos.random_crop import RandomCrop
from gluonnorm.types import Preprocess

import mxnet as mx
import numpy as np
import pytest
from in_process import SCRIPTS, run_script

OWN = """
def brighten(photo, rng, amount=1):
    return photo._replace(image=photo.image // 2 + amount)


def flip(photo):
    return photo
"""
FLAGS = (
    "--network faster_rcnn_fpn_resnet18_v1b_custom --norm gn --batch-size 2 --lr 0.01 --epochs 1 "
    "--dataset coco --train-split train --val-interval 0 --set short=48 max_size=96 "
    "fpn_channels=32 rpn_channels=8 anchor_sizes=((24,),(32,),(40,),(64,),(128,)) num_sample=8 "
    "rpn_num_sample=16 rpn_train_pre_nms=50 rpn_train_post_nms=20"
).split()


@pytest.fixture
def augment(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_changes.py").write_text(OWN)
    return importlib.import_module("_augment")


@pytest.fixture
def parse(augment):
    parser = argparse.ArgumentParser()
    augment.add_augment_arguments(parser)
    return parser.parse_args


def test_names_settings_and_functions(augment):
    assert augment.parse_augment("random_crop") == RandomCrop()
    parsed = augment.parse_augment("random_crop,min_scale=0.3,attempts=5")
    assert parsed == RandomCrop(min_scale=0.3, attempts=5)
    own = augment.parse_augment("own_changes:brighten,amount=7")
    assert own.func.__name__ == "brighten" and own.keywords == {"amount": 7}
    assert augment.parse_augment("own_changes:brighten").keywords == {}


@pytest.mark.parametrize(
    "text, message",
    [
        ("random_crops", "--augment random_crops: no change of photos is called .* random_crop?"),
        ("random_crop,min_scale", "'min_scale' is no NAME=VALUE with a number"),
        ("random_crop,min_scale=high", "'min_scale=high' is no NAME=VALUE"),
        ("random_crop,scale=0.5", "random_crop has no setting 'scale'.*min_scale"),
        ("random_crop,min_scale=2", "min_scale is 2; want a number from 0 to 1"),
        ("own_changes:darken", "own_changes has no function 'darken'"),
        ("own_changes:brighten,amout=1", "unexpected keyword argument 'amout'; it is called as"),
        ("own_changes:flip", "too many positional arguments; it is called as function.photo, rng"),
    ],
)
def test_wrong_values(augment, text, message):
    with pytest.raises(InputError, match=message):
        augment.parse_augment(text)


def test_lengths_of_the_shorter_side(augment, parse):
    preprocess = Preprocess(short=(24,), max_size=60)
    args = parse(["--multi-scale", "20", "30", "40"])
    transform = augment.make_train_transform(args, preprocess)
    assert transform._preprocess.short == (20, 30, 40) and preprocess.short == (24,)
    with pytest.raises(InputError, match="--multi-scale: .*70"):
        augment.make_train_transform(parse(["--multi-scale", "70"]), preprocess)
    assert augment.make_train_transform(parse([]), preprocess)._preprocess is preprocess


def test_repeated_images_are_judged_in_the_input_of_training(augment, parse):
    """The second class has a box of 2 pixels in each of half the images, which a quarter hides."""
    photo = np.zeros((40, 40, 3), np.uint8)
    large, small = [4, 4, 30, 30, 0], [1, 1, 3, 3, 1]
    items = [(photo, np.array([large, small])), (photo, np.array([large]))]
    dataset = GluonCVDataset(items, classes=["large", "small"])
    preprocess = Preprocess(short=(40,))
    for lengths, factor in (([], 2**0.5), ([10], 1), ([10, 20], 2**0.5)):
        sizes = ["--multi-scale", *map(str, lengths)] if lengths else []
        args = parse(["--repeat-threshold", "1", *sizes])
        repeats = augment.image_repeats(args, dataset, preprocess)
        np.testing.assert_allclose(repeats, [factor, 1])


def test_wrong_flags_are_found_before_the_work(augment, parse):
    assert augment.image_repeats(parse([]), None, None) is None
    for value in ("2", "0", "nan"):
        with pytest.raises(InputError, match="--repeat-threshold is .*; want a share of the im"):
            augment.check_augment_arguments(parse(["--repeat-threshold", value]))
    done = run_script("train_faster_rcnn.py", *FLAGS, "--data-root", "nowhere", "--augment", "fog")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --augment fog: no change of photos is called 'fog'")


def test_a_run_with_everything_resumes_bit_for_bit(augment, tmp_path):
    draw_shapes(tmp_path / "shapes", train=6, val=1, size=(64, 96))
    flags = [*FLAGS, "--data-root", tmp_path / "shapes", "--augment", "color_jitter"]
    flags += ["random_crop,probability=1", "quarter_turn", "vertical_flip"]
    flags += ["own_changes:brighten,amount=3", "--multi-scale", 40, 48, 56]
    flags += ["--repeat-threshold", 0.9, "--save-steps", 2]
    recipe = ["--recipe", "detectron_gn_2x", "--print-recipe"]
    printed = run_script("train_faster_rcnn.py", *flags, *recipe, "--save-prefix", tmp_path / "no")
    assert printed.returncode == 0, printed.stderr
    straight = tmp_path / "straight" / "run"
    done = run_script("train_faster_rcnn.py", *flags, "--save-prefix", straight)
    assert done.returncode == 0, done.stderr
    steps = [row["step"] for row in training.read_metrics(f"{straight}-metrics.jsonl")]
    assert len(steps) > 3  # of six images, two at a time: some are repeated
    # What a recipe would run counts the repeated images too.
    (updates,) = [line for line in printed.stdout.splitlines() if line.startswith("updates")]
    assert updates.split()[1:4] == [f"{len(steps)}", f"{len(steps)}", "in"]
    words = "note: --repeat-threshold 0.9 makes "
    (note,) = [line for line in done.stderr.splitlines() if line.startswith(words)]
    count, rest = note[len(words) :].split(" ", 1)
    assert -(-int(count) // 2) == len(steps)
    assert rest == "images of the 6, so one pass over the data set takes more updates"
    last = f"{steps[-1]:07d}"
    resumed = tmp_path / "resumed" / "run"
    resumed.parent.mkdir()
    for ending in ("json", "params", "states"):
        shutil.copy(f"{straight}-0000002.{ending}", f"{resumed}-0000002.{ending}")
    done = run_script("train_faster_rcnn.py", *flags, "--save-prefix", resumed, "--resume")
    assert done.returncode == 0, done.stderr
    found, wanted = (mx.nd.load(f"{run}-{last}.params") for run in (resumed, straight))
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name].asnumpy(), array.asnumpy(), err_msg=name)
