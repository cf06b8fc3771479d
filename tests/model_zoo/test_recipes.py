"""Recipes have the values of the files they were read from, and scale as their sources say.

``reference/recipe_settings.json`` holds what the codebases' configuration files and scripts say,
with their base files and the defaults of their programs. "common" is the most frequent value,
"recipes" has the exceptions. The values of "gluoncv_runs" are those of published training logs.
"""

import json
from dataclasses import replace
from pathlib import Path

from model_zoo.recipes import RECIPES, Choice, Recipe, get_recipe, list_recipes, register_recipe

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FACTS_FILE = REPOSITORY / "tests" / "reference" / "recipe_settings.json"
FACTS = json.loads(FACTS_FILE.read_text(encoding="utf-8"))
# Images of the training sets: 118,287 in Detectron's MODEL_ZOO.md, 5011 + 11540 in VOC's.
IMAGES = {"coco": 118287, "voc": 5011 + 11540}
# The fields of a schedule that changes nothing about biases, sizes and frozen stages.
PLAIN = {
    "bias_lr_factor": 1.0,
    "short": (),
    "max_size": None,
    "freeze_at": None,
    "from_scratch": False,
    "norms": (),
}


def facts_of(codebase):
    """The values of each recipe of a codebase, by the names that the codebase uses."""
    facts = FACTS[codebase]
    return {name: {**facts["common"], **own} for name, own in facts["recipes"].items()}


def cases(codebase):
    return sorted(facts_of(codebase).items())


def assert_recipe(name, codebase, facts, expected):
    recipe = get_recipe(name)
    fields = {**PLAIN, **expected}
    assert {field: getattr(recipe, field) for field in fields} == fields
    commit = FACTS[codebase]["commit"][:7]
    assert commit in recipe.source and facts["file"] in recipe.source


def of_iterations(facts, batch_size, dataset="coco"):
    return {
        "batch_size": batch_size,
        "images": IMAGES[dataset],
        "lr": facts["SOLVER.BASE_LR"],
        "unit": "iterations",
        "length": facts["SOLVER.MAX_ITER"],
        "lr_decay": facts["SOLVER.GAMMA"],
        "momentum": facts["SOLVER.MOMENTUM"],
        "wd": facts["SOLVER.WEIGHT_DECAY"],
    }


def of_detectron(facts):
    """What Detectron and SwitchNorm_Detection have in common."""
    first, *decay_at = facts["SOLVER.STEPS"]
    assert first == 0 and facts["SOLVER.LR_POLICY"] == "steps_with_decay"
    assert facts["SOLVER.WARM_UP_METHOD"] == "linear"
    return {
        **of_iterations(facts, facts["NUM_GPUS"] * facts["TRAIN.IMS_PER_BATCH"]),
        "decay_at": tuple(decay_at),
        "lr_warmup": facts["SOLVER.WARM_UP_ITERS"],
        "lr_warmup_factor": facts["SOLVER.WARM_UP_FACTOR"],
        "short": tuple(facts["TRAIN.SCALES"]),
        "max_size": facts["TRAIN.MAX_SIZE"],
        # add_single_gpu_param_update_ops of detectron/modeling/optimizer.py.
        "bias_wd": 0.0,
        "bias_lr_factor": 2.0,
    }


@pytest.mark.parametrize("name, facts", cases("detectron"))
def test_recipes_of_detectron(name, facts):
    from_scratch = "TRAIN.WEIGHTS" not in facts
    is_group_norm = facts.get("RESNETS.TRANS_FUNC") == "bottleneck_gn_transformation"
    assert facts["TRAIN.FREEZE_AT"] == (0 if from_scratch else 2)
    expected = {
        **of_detectron(facts),
        "norm_wd": facts["SOLVER.WEIGHT_DECAY_GN"],
        "norms": ("gn",) if is_group_norm else (),
        "from_scratch": from_scratch,
        # None freezes the stem and the first stage of pretrained weights.
        "freeze_at": 0 if from_scratch else None,
    }
    assert_recipe(name, "detectron", facts, expected)


@pytest.mark.parametrize("name, facts", cases("switchnorm"))
def test_recipes_of_switchnorm_detection(name, facts):
    assert facts["RESNETS.TRANS_FUNC"] == "bottleneck_sn_transformation"
    assert facts["SOLVER.BIAS_DOUBLE_LR"] and not facts["SOLVER.BIAS_WEIGHT_DECAY"]
    expected = {
        **of_detectron(facts),
        "norm_wd": facts["SOLVER.WEIGHT_DECAY_SN"],
        "norms": ("sn", "sn_nobn"),
        "from_scratch": Path(facts["file"]).name.startswith("scratch_"),
        "freeze_at": 0 if facts["RESNETS.FREEZE_AT"] == 0 else None,
    }
    assert_recipe(name, "switchnorm", facts, expected)


@pytest.mark.parametrize("name, facts", cases("detectron2"))
def test_recipes_of_detectron2(name, facts):
    assert facts["SOLVER.LR_SCHEDULER_NAME"] == "WarmupMultiStepLR"
    assert facts["SOLVER.WARMUP_METHOD"] == "linear" and not facts["SOLVER.NESTEROV"]
    assert facts["INPUT.MIN_SIZE_TRAIN_SAMPLING"] == "choice"
    assert facts["SOLVER.WEIGHT_DECAY_BIAS"] is None  # that of weights
    from_scratch = facts["MODEL.WEIGHTS"] == ""
    assert facts["MODEL.BACKBONE.FREEZE_AT"] == (0 if from_scratch else 2)
    norms = {"FrozenBN": (), "GN": ("gn",), "SyncBN": ("sync_bn", "bn")}
    dataset = "voc" if "PascalVOC" in facts["file"] else "coco"
    expected = {
        **of_iterations(facts, facts["SOLVER.IMS_PER_BATCH"], dataset),
        "decay_at": tuple(facts["SOLVER.STEPS"]),
        "lr_warmup": facts["SOLVER.WARMUP_ITERS"],
        "lr_warmup_factor": facts["SOLVER.WARMUP_FACTOR"],
        "norm_wd": facts["SOLVER.WEIGHT_DECAY_NORM"],
        "bias_wd": facts["SOLVER.WEIGHT_DECAY"],
        "bias_lr_factor": facts["SOLVER.BIAS_LR_FACTOR"],
        "short": tuple(facts["INPUT.MIN_SIZE_TRAIN"]),
        "max_size": facts["INPUT.MAX_SIZE_TRAIN"],
        "norms": norms[facts["MODEL.RESNETS.NORM"]],
        "from_scratch": from_scratch,
        "freeze_at": 0 if from_scratch else None,
    }
    assert_recipe(name, "detectron2", facts, expected)


@pytest.mark.parametrize(
    "name, codebase, facts",
    [
        (name, codebase, facts)
        for codebase in ("gluoncv", "gluoncv_runs")
        for name, facts in cases(codebase)
    ],
)
def test_recipes_of_gluoncv(name, codebase, facts):
    is_synced = facts.get("norm_layer") == "syncbn"
    expected = {
        "batch_size": facts["batch_size"],
        "images": IMAGES[facts["dataset"]],
        "lr": facts["lr"],
        "unit": "epochs",
        "length": facts["epochs"],
        "decay_at": tuple(map(int, facts["lr_decay_epoch"].split(","))),
        "lr_decay": facts["lr_decay"],
        # -1, or a log without the flag, has no warm-up.
        "lr_warmup": max(0, int(facts.get("lr_warmup", -1))),
        "lr_warmup_factor": facts.get("lr_warmup_factor", pytest.approx(1 / 3)),
        "momentum": facts["momentum"],
        # One trainer with one weight decay holds all parameters that learn. The Mask R-CNN script
        # then sets wd_mult of what collect_params('.*bias') finds, which is no norm's beta.
        "wd": facts["wd"],
        "norm_wd": facts["wd"],
        "bias_wd": facts["wd"] * facts.get("bias_wd_mult", 1),
        "norms": ("sync_bn", "bn") if is_synced else (),
        "freeze_at": 0 if is_synced else None,
    }
    assert_recipe(name, codebase, facts, expected)
    if "first_rate" in facts:
        recipe = get_recipe(name)
        factor = recipe.lr_warmup_factor if recipe.lr_warmup else 1
        assert recipe.lr * factor == pytest.approx(facts["first_rate"])


def test_the_recipe_of_torchvision():
    ((name, facts),) = cases("torchvision")
    expected = {
        "batch_size": facts["devices"] * facts["batch-size"],
        "images": IMAGES["coco"],
        "lr": facts["lr"],
        "unit": "epochs",
        "length": facts["epochs"],
        "decay_at": tuple(facts["lr-steps"]),
        "lr_decay": facts["lr-gamma"],
        "lr_warmup": facts["warmup_iters"],
        "lr_warmup_factor": facts["warmup_factor"],
        "momentum": facts["momentum"],
        # --norm-weight-decay has no default, so all parameters decay alike.
        "wd": facts["weight-decay"],
        "norm_wd": facts["weight-decay"],
        "bias_wd": facts["weight-decay"],
    }
    assert_recipe(name, "torchvision", facts, expected)


def test_every_recipe_was_read_from_a_file():
    read = [name for codebase in FACTS for name in facts_of(codebase)]
    assert sorted(read) == list_recipes() == sorted(RECIPES)
    assert all(name == recipe.name for name, recipe in RECIPES.items())


@pytest.mark.parametrize("name", list_recipes())
def test_the_rate_of_an_image_and_the_images_seen_do_not_depend_on_the_batch(name):
    recipe = get_recipe(name)
    for batch_size in (1, 2, 8, 64):
        scaled = recipe.scale(batch_size)
        assert scaled.lr / batch_size == pytest.approx(recipe.lr / recipe.batch_size)
        assert scaled.epochs == pytest.approx(recipe.epochs, rel=1e-4)
        assert scaled.decay_epochs == pytest.approx(recipe.decay_epochs, rel=1e-4)
    assert recipe.scale(recipe.batch_size) == recipe


def test_iterations_scale_as_detectron2_scales_them():
    """The example in the docstring of Detectron2's ``auto_scale_workers``: 16 images become 32."""
    example = replace(
        get_recipe("detectron2_1x"),
        lr=0.1,
        length=5000,
        decay_at=(4000,),
        lr_warmup=1000,
        images=10**6,
    )
    scaled = example.scale(32)
    assert (scaled.batch_size, scaled.lr, scaled.length, scaled.decay_at) == (
        32,
        0.2,
        2500,
        (2000,),
    )
    assert scaled.lr_warmup == 500


def test_the_tutorials_of_detectron_follow_the_linear_rule():
    """configs/getting_started: BASE_LR 0.0025 for 1 GPU with 2 images, 0.02 for 8."""
    recipe = get_recipe("detectron_1x")
    for gpus, lr in ((1, 0.0025), (2, 0.005), (4, 0.01), (8, 0.02)):
        assert recipe.scale(2 * gpus).lr == pytest.approx(lr)


@pytest.mark.parametrize(
    "name, epochs, whole, decay_epochs",
    [
        # MODEL_ZOO.md of Detectron: 12.17 epochs over the 118,287 images.
        ("detectron_1x", 12.17, 12, (8.0, 10.67)),
        ("detectron_2x", 24.35, 24, (16.0, 21.33)),
        ("detectron2_3x", 36.52, 37, (28.78, 34.26)),
        # The comment in the file of Detectron2: 17.4 epochs.
        ("detectron2_voc", 17.40, 17, (11.33, 15.11)),
        ("torchvision_1x", 26, 26, (16, 22)),
    ],
)
def test_whole_epochs(name, epochs, whole, decay_epochs):
    recipe = get_recipe(name)
    assert recipe.epochs == pytest.approx(epochs, abs=0.005)
    assert recipe.in_whole_epochs() == (whole, decay_epochs)


def test_the_rate_falls_at_the_same_part_of_another_length():
    assert get_recipe("detectron_1x").in_whole_epochs(3) == (3, (2.0, 2.67))
    assert get_recipe("torchvision_1x").in_whole_epochs(13) == (13, (8.0, 11.0))


def test_a_data_set_of_another_size_keeps_the_epochs():
    scaled = get_recipe("detectron_1x").scale(2, images=200)
    assert scaled.unit == "epochs" and scaled.images == 200
    assert scaled.in_whole_epochs() == (12, (8.0, 10.67))
    assert scaled.steps_per_epoch == 100
    # 500 updates of 16 images are 4000 of 2 images, and an epoch has 100.
    assert scaled.lr_warmup == 100
    assert get_recipe("detectron_1x").scale(2, images=10000).lr_warmup == 4000
    assert get_recipe("gluoncv_faster_voc").scale(2, images=200).lr_warmup == 0


@pytest.mark.parametrize(
    "name, norm, freeze_at, pretrained, message",
    [
        (
            "detectron_gn_2x",
            "frozen_bn",
            None,
            True,
            r"norm gn, and this one has frozen_bn; .*--norm gn",
        ),
        ("detectron_gn_2x", None, None, True, "this one has None"),
        ("switchnorm_2x", "gn", None, True, "sn or sn_nobn"),
        ("detectron_scratch_gn_3x", "gn", 2, False, r"freeze_at=2 would .* 3\.3 AP .*freeze_at=0"),
        ("detectron_scratch_gn_3x", "gn", None, True, "leave out --pretrained"),
        ("detectron2_scratch_syncbn_9x", "frozen_bn", 0, False, "sync_bn or bn"),
    ],
)
def test_a_network_that_contradicts_the_recipe_is_refused(
    name, norm, freeze_at, pretrained, message
):
    with pytest.raises(ValueError, match=message):
        get_recipe(name).check_network(norm, freeze_at, pretrained)


@pytest.mark.parametrize(
    "name, norm, freeze_at, pretrained",
    [
        ("detectron_gn_2x", "gn", 3, True),
        ("detectron_gn_2x", "gn", None, False),
        ("detectron_1x", "frozen_bn", None, True),
        ("detectron_1x", "my_norm", 0, False),
        ("switchnorm_2x", "sn_nobn", None, True),
        ("detectron_scratch_gn_3x", "gn", None, False),
        ("detectron2_scratch_gn_9x", "gn", 0, False),
    ],
)
def test_a_network_that_fits_the_recipe(name, norm, freeze_at, pretrained):
    get_recipe(name).check_network(norm, freeze_at, pretrained)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: get_recipe("detectron1x"), r"detectron_1x.*torchvision_1x"),
        (lambda: get_recipe("detectron_1x").scale(0), "0 and 16"),
        (lambda: get_recipe("detectron_1x").scale(2, images=0), "0 images"),
        (lambda: replace(get_recipe("detectron_1x"), unit="steps"), "unit is 'steps'"),
        (lambda: replace(get_recipe("detectron_1x"), lr=float("nan")), "lr is nan"),
        (lambda: replace(get_recipe("detectron_1x"), wd=-1), "wd is -1"),
        (lambda: replace(get_recipe("detectron_1x"), decay_at=(2, 1)), "ascending"),
        (lambda: replace(get_recipe("detectron_1x"), length=0), "length is 0"),
        (lambda: Choice(1, "guess"), "origin is 'guess'"),
    ],
)
def test_what_is_no_recipe_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_recipe_of_the_user(monkeypatch):
    monkeypatch.setattr(RECIPES, "_entries", dict(RECIPES))
    mine = Recipe(
        "mine", "my notebook", 4, 100, 0.01, "epochs", 8, (6,), 10, 0.1, 1e-4, norm_wd=0, bias_wd=0
    )
    register_recipe(mine)
    assert get_recipe("mine").scale(2).lr == 0.005 and get_recipe("mine").scale(2).lr_warmup == 20
    with pytest.raises(ValueError, match="belongs to gluonnorm"):
        register_recipe(replace(mine, name="detectron_1x"))
    with pytest.raises(ValueError, match="give a model_zoo.recipes.Recipe"):
        register_recipe("mine")


def table_row(recipe):
    """The line of a recipe in docs/training.md."""
    unit = "" if recipe.unit == "iterations" else " epochs"
    points = ", ".join(f"{point:,}" for point in recipe.decay_at)
    warmup = "none"
    if recipe.lr_warmup:
        warmup = f"{recipe.lr_warmup} from {recipe.lr_warmup_factor:.4g}"
    norms = ", ".join(recipe.norms) or "any"
    if recipe.from_scratch:
        norms += ", from scratch"
    sizes = "-"
    if recipe.short:
        sizes = str(recipe.short[0])
        if len(recipe.short) > 1:
            sizes += f" to {recipe.short[-1]}"
    decays = f"{recipe.wd:g}, {recipe.norm_wd:g}, {recipe.bias_wd:g}"
    cells = [
        f"`{recipe.name}`",
        norms,
        f"{recipe.lr:g} at {recipe.batch_size}",
        f"{recipe.length:,}{unit} ({points})",
        f"{recipe.epochs:.1f}",
        warmup,
        decays,
        sizes,
    ]
    return f"| {' | '.join(cells)} |"


def test_the_documentation_has_the_table_of_recipes():
    text = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    section = text.split("\n## Recipes\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [table_row(recipe) for recipe in RECIPES.values()]
    for codebase in FACTS:
        assert FACTS[codebase]["commit"][:7] in text
