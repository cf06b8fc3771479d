"""--recipe and --print-recipe of the training script: who decides each value, and what is said."""

import argparse
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import model_zoo
from gluonnorm.data import draw_shapes
from gluonnorm.errors import InputError
from model_zoo.recipes import Choice, get_recipe

import mxnet as mx
import pytest
from in_process import SCRIPTS, run_script

FLAGS = (
    "--network faster_rcnn_fpn_resnet18_v1b_custom --norm gn --dataset coco "
    "--train-split train --val-split val --val-interval 0"
).split()
# A network that is trained in a second.
SMALL = (
    "--set short=64 max_size=96 fpn_channels=32 rpn_channels=8 "
    "anchor_sizes=((24,),(32,),(40,),(64,),(128,)) num_sample=8 rpn_num_sample=16 "
    "rpn_train_pre_nms=50 rpn_train_post_nms=20"
).split()
IMAGES = 6


@pytest.fixture(scope="module")
def scripts():
    """The modules of the training script, as the script itself imports them."""
    names = (
        "_arguments_file",
        "_recipe",
        "_recipe_flags",
        "_schedule",
        "_training_parts",
        "train_faster_rcnn",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        modules = {name.lstrip("_"): importlib.import_module(name) for name in names}
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder, train=IMAGES, val=1, size=(64, 96))
    return folder


def train(root, prefix, *flags):
    places = ["--data-root", root, "--save-prefix", prefix]
    return run_script("train_faster_rcnn.py", *FLAGS, *places, *flags)


def choose(scripts, *flags, images=118287, machines=1, earlier=None):
    args = scripts.train_faster_rcnn.parse_args([*FLAGS, "--data-root", "nowhere", *flags])
    return scripts.recipe.choose(args, images, machines, earlier or {})


def values(choices):
    return {name: choice.value for name, choice in choices.items()}


def test_without_a_recipe_every_value_is_the_default_or_the_flag(scripts):
    choices = choose(scripts, "--batch-size", "4", "--momentum", "0.8")
    assert values(choices) == {
        "recipe": None,
        "batch_size": 4,
        "accumulate": 1,
        "machines": 1,
        "lr": 4 * 0.00125,
        "epochs": 20,
        "lr_mode": "step",
        "lr_decay": 0.1,
        "lr_decay_epoch": "14,18",
        "lr_warmup": 100,
        "lr_warmup_factor": 1 / 3,
        "momentum": 0.8,
        "wd": 1e-4,
        "norm_wd": None,
        "bias_wd": 1e-4,
        "bias_lr_factor": 1.0,
        "clip_gradient": None,
        "epoch_steps": None,
        "val_interval": 0,
        "dtype": "float32",
        "norm": "gn",
        "head_norm": None,
    }
    given = {name for name, choice in choices.items() if choice.origin == "flag"}
    assert given == {"batch_size", "momentum", "norm", "val_interval"}
    assert choose(scripts, machines=3)["lr"].value == 3 * 0.00125


def test_a_recipe_is_scaled_to_batch_machines_and_data_set(scripts):
    choices = choose(scripts, "--recipe", "detectron2_1x", "--batch-size", "2", machines=4)
    chosen = values(choices)
    assert (chosen["lr"], chosen["lr_warmup"]) == (0.01, 2000)
    assert (chosen["epochs"], chosen["lr_decay_epoch"]) == (12, "8,10.67")
    assert (chosen["norm_wd"], chosen["bias_wd"], chosen["batch_size"]) == (0.0, 1e-4, 2)
    assert chosen["short"] == (640, 672, 704, 736, 768, 800) and chosen["max_size"] == 1333
    assert "12.17 epochs of 118287 images" in choices["epochs"].reason
    assert choices["batch_size"].origin == "flag" and choices["lr"].origin == "recipe"
    small = values(choose(scripts, "--recipe", "detectron2_1x", images=200))
    assert (small["lr"], small["lr_warmup"], small["epochs"]) == (0.00125, 200, 12)


def test_a_flag_wins_over_the_recipe(scripts):
    flags = "--recipe detectron_1x --epochs 3 --lr 0.5 --norm-wd 0.01 --set short=300".split()
    choices = choose(scripts, *flags)
    assert choices["lr"] == Choice(0.5, "flag") and choices["norm_wd"] == Choice(0.01, "flag")
    assert choices["short"] == Choice(300, "flag") and choices["max_size"].value == 1333
    # The rate still falls after two thirds of the run.
    assert choices["lr_decay_epoch"].value == "2,2.67"
    # A flag with the value of the default is given all the same.
    assert choose(scripts, *flags, "--momentum", "0.9")["momentum"].origin == "flag"


def test_the_warm_up_ends_within_an_epoch_that_is_shorter_than_the_data_set(scripts):
    """COCO's 500 updates of 16 images are 8000 of one, and a run may have fewer."""
    whole = choose(scripts, "--recipe", "detectron_1x")
    assert whole["lr_warmup"].value == 8000
    short = choose(scripts, "--recipe", "detectron_1x", "--epoch-steps", "300")
    assert short["lr_warmup"].value == 300 and short["epochs"].value == 12
    args = scripts.train_faster_rcnn.parse_args(
        [*FLAGS, "--data-root", "nowhere", "--recipe", "detectron_1x", "--minutes", "30"]
    )
    fitted = {"epochs": Choice(1, "recipe"), "epoch_steps": Choice(1000, "recipe")}
    chosen = scripts.recipe.choose(args, 118287, 1, {}, fitted=fitted)
    assert chosen["lr_warmup"].value == 100 and "tenth of 1000" in chosen["lr_warmup"].reason
    # A tenth is no more than the recipe has.
    fitted = {"epochs": Choice(12, "recipe")}
    assert scripts.recipe.choose(args, 118287, 1, {}, fitted=fitted)["lr_warmup"].value == 8000


def test_the_recipe_reaches_the_command_line(scripts):
    flags = "--recipe detectron_scratch_gn_3x --set max_size=500 num_sample=8".split()
    args = scripts.train_faster_rcnn.parse_args([*FLAGS, "--data-root", "nowhere", *flags])
    completed = scripts.recipe.with_choices(args, scripts.recipe.choose(args, 100, 1, {}))
    assert completed.set == ["short=(800,)", "freeze_at=0", "max_size=500", "num_sample=8"]
    assert completed.epochs == 37 and completed.lr == 0.00125 and completed.bias_lr_factor == 2
    assert args.epochs is None and args.set == ["max_size=500", "num_sample=8"]


def test_a_resumed_run_keeps_the_decisions_of_the_same_recipe_and_batch(scripts):
    flags = "--recipe detectron_1x --epochs 6 --batch-size 2 --set short=300".split()
    first = choose(scripts, *flags, images=1000)
    stored = json.loads(json.dumps(scripts.arguments_file.stored_choices(first)))
    earlier = scripts.arguments_file.restored_choices(stored)
    # With ten images the warm-up of an epoch would be shorter.
    resumed = choose(scripts, images=10, earlier=earlier)
    assert values(resumed) == values(first) and resumed["lr_warmup"].value == 500
    assert (resumed["recipe"].value, resumed["recipe"].origin) == ("detectron_1x", "earlier run")
    origins = {name: resumed[name].origin for name in ("epochs", "short", "lr_decay_epoch", "lr")}
    assert set(origins.values()) == {"earlier run"}
    longer = choose(scripts, "--recipe", "detectron_1x", "--epochs", "9", earlier=earlier)
    assert (longer["epochs"].origin, longer["lr_decay_epoch"].value) == ("flag", "4,5.33")
    # With another batch or another recipe nothing is kept.
    other_batch = choose(scripts, "--batch-size", "1", images=10, earlier=earlier)
    assert other_batch["lr"].value == 0.00125 and other_batch["lr_warmup"].value == 10
    assert other_batch["epochs"].value == 12 and other_batch["short"].value == (800,)
    other = choose(scripts, "--recipe", "torchvision_1x", images=10, earlier=earlier)
    assert (other["epochs"].value, other["batch_size"].value) == (26, 1)
    assert "short" not in other and other["lr_warmup"].origin == "recipe"


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("lr", "fast", "--lr is 'fast'; want a number"),
        ("epochs", 2.5, "--epochs is 2.5; want an integer"),
        ("epochs", True, "--epochs is True; want an integer"),
        ("batch_size", 0, "--batch-size is 0; want at least 1"),
        ("momentum", -0.5, "--momentum is -0.5; want a finite number, 0 or more"),
        ("lr_decay_epoch", [2, 3], "--lr-decay-epoch is (2, 3); want a text"),
    ],
)
def test_edited_decisions_of_the_earlier_run_are_refused(scripts, tmp_path, name, value, message):
    choices = scripts.arguments_file.stored_choices(choose(scripts, "--recipe", "detectron_1x"))
    choices[name]["value"] = value
    path = tmp_path / "run-arguments.json"
    path.write_text(json.dumps({"arguments": {}, "choices": choices}))
    with pytest.raises(InputError) as error:
        scripts.arguments_file.read_choices(str(tmp_path / "run"))
    assert message in str(error.value) and "delete it, and give --recipe again" in str(error.value)


def test_a_run_that_goes_on_with_other_machines_has_their_rate(scripts):
    """Two machines make updates of two images, with twice the rate of one."""
    of_two = choose(scripts, "--recipe", "detectron_1x", "--epochs", "6", machines=2)
    assert of_two["lr"].value == 0.0025
    same = choose(scripts, earlier=of_two, machines=2)
    assert (same["lr"].value, same["lr"].origin) == (0.0025, "earlier run")
    of_one = choose(scripts, earlier=of_two)
    assert (of_one["lr"].value, of_one["lr"].origin) == (0.00125, "recipe")
    # An earlier version did not write the machines down.
    unknown = {name: choice for name, choice in of_two.items() if name != "machines"}
    assert choose(scripts, earlier=unknown)["epochs"].origin == "earlier run"


def test_worker_0_decides_for_machines_that_differ(scripts, shapes):
    """The rules look at processors and devices. Workers with other batches make other steps."""

    def gather_objects(value):
        first = json.loads(json.dumps(value))
        if "batch_size" in first:
            first["batch_size"]["value"] = 3
            first["anchor_sizes"]["value"] = [[8.0], [16.0], [32.0], [64.0], [128.0]]
        return [first, value]

    workers = SimpleNamespace(rank=1, count=2, gather_objects=gather_objects)
    flags = ["--data-root", str(shapes), "--recipe", "auto", "--dtype", "float32"]
    args = scripts.train_faster_rcnn.parse_args([*FLAGS, *flags])
    prepared = scripts.train_faster_rcnn.prepare(args, [mx.cpu()], workers)
    assert prepared.args.batch_size == 3 and len(prepared.loader) == 1
    assert prepared.net.config.anchor_sizes == ((8.0,), (16.0,), (32.0,), (64.0,), (128.0,))


def test_a_run_without_a_recipe_is_given_its_flags_again(scripts):
    earlier = choose(scripts, "--lr", "0.5", "--batch-size", "2")
    assert values(choose(scripts, earlier=earlier)) == values(choose(scripts))
    # A run may go on with a recipe.
    assert choose(scripts, "--recipe", "detectron_1x", earlier=earlier)["lr"].value == 0.00125


def test_print_recipe_shows_every_value_and_writes_nothing(shapes, tmp_path):
    flags = ["--recipe", "detectron_gn_2x", "--batch-size", 2, "--momentum", 0.5, *SMALL]
    done = train(shapes, tmp_path / "runs" / "run", *flags, "--print-recipe")
    assert done.returncode == 0 and not list(tmp_path.iterdir()), done.stderr
    rows = {line.split("  ")[0]: line.split() for line in done.stdout.splitlines()}
    assert rows["--recipe"][1:5] == ["detectron_gn_2x", "flag:", "Detectron", "04155a0,"]
    assert rows["norm"][1] == "gn"
    assert rows["--momentum"][1:] == ["0.5", "flag"]
    assert rows["--lr"][1:] == "0.0025 recipe: 0.02 for 16 images, here 2".split()
    assert rows["--lr-mode"][1:] == ["step", "default"]
    assert rows["--lr-warmup"][1:3] == ["3", "recipe:"]
    assert rows["--set short"][2:] == ["64", "flag"]
    assert rows["updates"][1] == str(24 * 3)


@pytest.mark.parametrize(
    "flags, messages",
    [
        (["--recipe", "detectron"], ["no recipe 'detectron'", "detectron_1x"]),
        (["--recipe", "autto"], ["no recipe 'autto'; there are auto, ", "; did you mean auto?"]),
        (["--recipe", "detectron_gn_2x", "--norm", "frozen_bn"], ["norm gn", "give --norm gn"]),
        (["--recipe", "switchnorm_2x"], ["sn or sn_nobn", "this one has gn"]),
        (
            ["--recipe", "detectron_scratch_gn_3x", "freeze_at=2"],
            ["freeze_at=2", "3.3 AP", "give freeze_at=0"],
        ),
        (["--norm-wd", "-1"], ["--norm-wd is -1"]),
        (["--bias-wd", "nan"], ["--bias-wd is nan"]),
        (["--batch-size", "0"], ["--batch-size is 0"]),
    ],
)
def test_what_contradicts_is_refused_before_work_begins(shapes, tmp_path, flags, messages):
    settings = [*SMALL, *[flag for flag in flags if "=" in flag]]
    flags = [flag for flag in flags if "=" not in flag]
    done = train(shapes, tmp_path / "run", *settings, *flags)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ") and all(message in line for message in messages), line


def test_weights_for_a_recipe_from_scratch_are_refused(scripts):
    net = model_zoo.get_model("faster_rcnn_resnet18_v1b_custom", norm="gn", classes=("a",))
    args = argparse.Namespace(
        recipe="detectron_scratch_gn_3x", set=[], pretrained=False, pretrained_base=False
    )
    scripts.recipe_flags.check_recipe_network(args, net)
    for change in ({"pretrained_base": "r18.npz"}, {"set": ["transfer='coco'"]}):
        with pytest.raises(ValueError, match="trains from scratch; leave out --pretrained"):
            scripts.recipe_flags.check_recipe_network(
                argparse.Namespace(**{**vars(args), **change}), net
            )


@pytest.mark.parametrize(
    "flags, message",
    [
        (["detectron_scratch_gn_3x", "--pretrained-base", "r18.npz"], "trains from scratch; leave"),
        (["detectron_scratch_gn_3x", "--pretrained", "r18.npz"], "trains from scratch; leave out"),
        (["detectron_scratch_gn_3x", "--set", "transfer='coco'"], "trains from scratch; leave out"),
        (["switchnorm_2x", "--pretrained-base", "r18.npz"], "norm sn or sn_nobn, and this one has"),
    ],
)
def test_flags_are_refused_before_weights_are_read(scripts, flags, message):
    args = scripts.train_faster_rcnn.parse_args([*FLAGS, "--data-root", "none", "--recipe", *flags])
    # The file does not exist, so whoever reads it says so.
    with pytest.raises(InputError, match=message):
        scripts.training_parts.build_network(args, ("a",), [mx.cpu()])


def test_a_norm_that_no_flag_names_is_left_to_the_network(scripts):
    flags = ["--network", "faster_rcnn_resnet18_v1b_custom", "--dataset", "coco"]
    flags += ["--data-root", ".", "--recipe", "switchnorm_scratch_3x", "--set"]
    parse = scripts.train_faster_rcnn.parse_args
    scripts.recipe_flags.check_recipe_before_build(parse([*flags, "freeze_at=0"]))
    with pytest.raises(InputError, match="freeze_at=2 would freeze"):
        scripts.recipe_flags.check_recipe_before_build(parse([*flags, "freeze_at=2"]))


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """A run of one epoch with a recipe: its prefix."""
    prefix = tmp_path_factory.mktemp("trained") / "run"
    flags = ["--recipe", "detectron_1x", "--epochs", 1, "--batch-size", 2, *SMALL]
    done = train(shapes, prefix, *flags)
    assert done.returncode == 0, done.stderr
    return prefix


def test_a_run_trains_with_the_values_of_its_recipe(trained):
    written = json.loads(Path(f"{trained}-arguments.json").read_text())
    assert written["arguments"]["recipe"] == "detectron_1x" and written["arguments"]["wd"] == 1e-4
    assert written["choices"]["epochs"] == {"value": 1, "origin": "flag", "reason": ""}
    assert written["choices"]["lr"]["reason"] == "0.02 for 16 images, here 2"
    metrics = Path(f"{trained}-metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["lr"] for line in metrics]
    # The warm-up from a third takes the epoch of 3 updates. The rate falls after 0.67 and after
    # 0.89 epochs, and both are after 2 of the 3 updates.
    assert rates == pytest.approx([0.0025 / 3, 0.0025 * 5 / 9, 0.000025 * 7 / 9])


def test_resume_says_that_recipe_or_batch_are_others(shapes, trained):
    resumed = [*SMALL, "--resume"]
    same = train(shapes, trained, *resumed)
    assert same.returncode == 0 and same.stderr == ""
    written = json.loads(Path(f"{trained}-arguments.json").read_text())
    assert written["choices"]["recipe"]["value"] == "detectron_1x"
    assert written["choices"]["lr"]["origin"] == "earlier run"
    others = ["--recipe", "torchvision_1x", "--batch-size", 3, "--epochs", 1]
    other = train(shapes, trained, *resumed, *others)
    assert "--recipe was detectron_1x and is torchvision_1x" in other.stderr
    assert "--batch-size was 2 and is 3" in other.stderr
    # The reason comes before an error about a checkpoint of another network.
    flags = ["--resume", "--batch-size", 1]
    other = train(shapes, trained, *flags, *SMALL[:1], "short=64", "max_size=96")
    note, error = other.stderr.splitlines()[0], other.stderr.splitlines()[-1]
    assert note == (
        "note: --resume: --batch-size was 3 and is 1, so the recipe decides anew, and keeps no "
        "--set of the earlier run; give those again"
    )
    assert error.startswith("error: ") and "is a checkpoint of another network" in error
    Path(f"{trained}-arguments.json").write_text("{")
    damaged = train(shapes, trained, *resumed)
    assert damaged.returncode == 2 and "run-arguments.json" in damaged.stderr


@pytest.mark.parametrize(
    "settings, expected",
    [
        # gamma, beta, mixing weights, biases: their weight decay.
        ({}, (0.0, 0.0, 1e-4, 1e-4)),
        ({"norm_wd": 0.0}, (0.0, 0.0, 0.0, 1e-4)),
        ({"norm_wd": 2e-4, "bias_wd": 0.0}, (2e-4, 2e-4, 2e-4, 0.0)),
    ],
)
def test_norms_and_biases_have_their_own_weight_decay(scripts, settings, expected):
    net = model_zoo.get_model("faster_rcnn_resnet18_v1b_custom", norm="sn", classes=("a",))
    scripts.training_parts.set_multipliers(net, 1e-4, **settings, bias_lr_factor=2.0)
    decays, rates = {}, {}
    for name, parameter in net._collect_params_with_prefix().items():
        kind = name.rpartition(".")[-1]
        decays.setdefault(kind, set()).add(round(1e-4 * parameter.wd_mult, 12))
        rates.setdefault(kind, set()).add(parameter.lr_mult)
    gamma, beta, mixing, bias = expected
    assert decays["gamma"] == {gamma} and decays["beta"] == {beta} and decays["bias"] == {bias}
    assert decays["mean_weight"] == decays["var_weight"] == {mixing}
    assert decays["weight"] == {1e-4}
    assert rates["bias"] == rates["beta"] == {2.0}
    assert rates["weight"] == rates["gamma"] == rates["mean_weight"] == {1.0}


def test_an_update_obeys_the_multipliers(scripts):
    net = mx.gluon.nn.Dense(1, in_units=1, bias_initializer="ones")
    net.initialize(mx.init.One())
    scripts.training_parts.set_multipliers(net, 0.1, bias_wd=0.0, bias_lr_factor=2.0)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1.0, "wd": 0.1})
    with mx.autograd.record():
        loss = net(mx.nd.ones((1, 1)))
    loss.backward()
    trainer.step(1)
    # Both gradients are 1, and the weight decays by 0.1.
    assert net.weight.data().asscalar() == pytest.approx(1 - 1 - 0.1)
    assert net.bias.data().asscalar() == pytest.approx(1 - 2)


def test_norms_cannot_decay_without_a_weight_decay(scripts):
    net = model_zoo.get_model("resnet18_v1b", norm="gn")
    scripts.training_parts.set_multipliers(net, 0.0)
    with pytest.raises(ValueError, match="--norm-wd is 0.1 and --wd is 0; .*, or --norm-wd 0"):
        scripts.training_parts.set_multipliers(net, 0.0, norm_wd=0.1)


def test_a_recipe_in_the_documentation_of_the_script(scripts):
    text = scripts.train_faster_rcnn.__doc__
    assert "--recipe" in text and get_recipe("detectron_1x").name in text


@pytest.mark.parametrize("given, limit", [((), None), (("5",), 5), (("0",), None)])
def test_a_limit_of_zero_clips_no_gradient(scripts, given, limit):
    flags = [f"--clip-gradient={norm}" for norm in given]
    args = scripts.train_faster_rcnn.parse_args([*FLAGS, "--data-root", "nowhere", *flags])
    args.accumulate, args.dtype = 1, "float32"
    net = scripts.training_parts.build_network(args, ("one", "two"), [mx.cpu()])
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd")
    step = scripts.training_parts.make_step(args, net, trainer, [mx.cpu()])
    assert step.max_norm == limit
