"""The training schedules that the codebases published, each for its own batch and data set.

``tests/reference/recipe_settings.json`` holds the values as the files named here state them.
"""

from typing import Any, Dict, List

from gluonnorm.errors import InputError
from gluonnorm.registry import Registry
from model_zoo.recipes.recipe import Recipe

# Detectron's MODEL_ZOO.md counts these in coco_2014_train and coco_2014_valminusminival together,
# which are coco_2017_train.
COCO_IMAGES = 118287
# The trainval splits of 2007 and 2012; Detectron2 counts 17.4 epochs in 18000 updates of 16 images.
VOC_IMAGES = 16551

GLUONCV = "GluonCV 5677756"
GLUONCV_RUNS = "dmlc/web-data 0818ee5"
TORCHVISION = "torchvision 3ceb056"
DETECTRON = "Detectron 04155a0"
DETECTRON2 = "Detectron2 02b5c4e"
SWITCHNORM = "SwitchNorm_Detection ab68486"

# GluonCV's Faster R-CNN and torchvision decay all parameters alike.
GLUONCV_COCO: Dict[str, Any] = {
    "images": COCO_IMAGES,
    "unit": "epochs",
    "length": 26,
    "decay_at": (17, 23),
    "lr_warmup": 1000,
    "lr_warmup_factor": 1 / 3,
    "wd": 1e-4,
    "norm_wd": 1e-4,
    "bias_wd": 1e-4,
}
# GluonCV's Mask R-CNN sets the wd_mult of all biases to 0.
GLUONCV_MASK_COCO: Dict[str, Any] = {**GLUONCV_COCO, "bias_wd": 0.0}
GLUONCV_VOC: Dict[str, Any] = {
    "images": VOC_IMAGES,
    "lr": 0.001,
    "unit": "epochs",
    "decay_at": (14, 20),
    "lr_warmup": 0,
    "lr_warmup_factor": 1 / 3,
    "wd": 5e-4,
    "norm_wd": 5e-4,
    "bias_wd": 5e-4,
}
# Up to "2x" the rate falls at six and eight ninths of the length. From "3x" on it falls 60000 and
# 20000 updates before the end (Rethinking ImageNet Pre-training, arXiv:1811.08883).
ITERATIONS: Dict[str, Dict[str, Any]] = {
    "1x": {"length": 90000, "decay_at": (60000, 80000)},
    "2x": {"length": 180000, "decay_at": (120000, 160000)},
    "3x": {"length": 270000, "decay_at": (210000, 250000)},
}
# Norms do not decay (WEIGHT_DECAY_GN, WEIGHT_DECAY_SN). Biases do not either, and learn twice as
# fast.
DETECTRON_COCO: Dict[str, Any] = {
    "batch_size": 16,
    "images": COCO_IMAGES,
    "lr": 0.02,
    "unit": "iterations",
    "lr_warmup": 500,
    "lr_warmup_factor": 1 / 3,
    "wd": 1e-4,
    "norm_wd": 0.0,
    "bias_wd": 0.0,
    "bias_lr_factor": 2.0,
    "short": (800,),
    "max_size": 1333,
}
DETECTRON2_COCO: Dict[str, Any] = {
    "batch_size": 16,
    "images": COCO_IMAGES,
    "lr": 0.02,
    "unit": "iterations",
    "lr_warmup": 1000,
    "lr_warmup_factor": 1 / 1000,
    "wd": 1e-4,
    "norm_wd": 0.0,
    "bias_wd": 1e-4,
    "short": (640, 672, 704, 736, 768, 800),
    "max_size": 1333,
}
SCRATCH: Dict[str, Any] = {"from_scratch": True, "freeze_at": 0}
GN: Dict[str, Any] = {"norms": ("gn",)}
SN: Dict[str, Any] = {"norms": ("sn", "sn_nobn")}
# On one device the two compute the same.
SYNC_BN: Dict[str, Any] = {"norms": ("sync_bn", "bn")}


def _gluoncv_recipes() -> List[Recipe]:
    """List the defaults of GluonCV's scripts, and the published runs that differ from them."""
    script = f"{GLUONCV}, scripts/detection/faster_rcnn/train_faster_rcnn.py"
    mask_script = f"{GLUONCV}, scripts/instance/mask_rcnn/train_mask_rcnn.py"
    runs = f"{GLUONCV_RUNS}, gluoncv/logs/detection"
    syncbn_coco = {
        **GLUONCV_COCO,
        "decay_at": (20, 24),
        "lr_warmup": 500,
        "lr_warmup_factor": 0.3333,
    }
    return [
        Recipe("gluoncv_faster_voc", script, batch_size=1, length=20, **GLUONCV_VOC),
        Recipe("gluoncv_faster_coco", script, batch_size=1, lr=0.00125, **GLUONCV_COCO),
        Recipe("gluoncv_mask_coco", mask_script, batch_size=8, lr=0.01, **GLUONCV_MASK_COCO),
        Recipe(
            "gluoncv_faster_resnet50_v1b_voc",
            f"{runs}/faster_rcnn_resnet50_v1b_voc_train.log",
            batch_size=4,
            length=20,
            **GLUONCV_VOC,
        ),
        Recipe(
            "gluoncv_faster_resnet50_v2a_voc",
            f"{runs}/faster_rcnn_resnet50_v2a_voc_train.log",
            batch_size=4,
            length=30,
            **GLUONCV_VOC,
        ),
        Recipe(
            "gluoncv_faster_resnet_coco",
            f"{runs}/faster_rcnn_fpn_resnet50_v1b_coco_train.log",
            batch_size=8,
            lr=0.01,
            **GLUONCV_COCO,
        ),
        Recipe(
            "gluoncv_faster_syncbn_resnest_coco",
            f"{runs}/faster_rcnn_fpn_syncbn_resnest50_coco_train.log",
            batch_size=16,
            lr=0.02,
            freeze_at=0,
            **syncbn_coco,
            **SYNC_BN,
        ),
    ]


def _torchvision_recipes() -> List[Recipe]:
    """List the default of torchvision's script, for 8 devices with 2 images each."""
    return [
        Recipe(
            "torchvision_1x",
            f"{TORCHVISION}, references/detection/train.py and engine.py",
            batch_size=16,
            images=COCO_IMAGES,
            lr=0.02,
            unit="epochs",
            length=26,
            decay_at=(16, 22),
            lr_warmup=1000,
            lr_warmup_factor=1 / 1000,
            wd=1e-4,
            norm_wd=1e-4,
            bias_wd=1e-4,
        )
    ]


def _detectron_recipes() -> List[Recipe]:
    """List Detectron's schedules of 12_2017_baselines and 04_2018_gn_baselines."""
    recipes = []
    plain = f"{DETECTRON}, configs/12_2017_baselines/e2e_mask_rcnn_R-50-FPN"
    group_norm = f"{DETECTRON}, configs/04_2018_gn_baselines"
    for schedule in ("1x", "2x"):
        source = f"{plain}_{schedule}.yaml"
        settings = {**DETECTRON_COCO, **ITERATIONS[schedule]}
        recipes.append(Recipe(f"detectron_{schedule}", source, **settings))
    for schedule in ("2x", "3x"):
        source = f"{group_norm}/e2e_mask_rcnn_R-50-FPN_{schedule}_gn.yaml"
        settings = {**DETECTRON_COCO, **ITERATIONS[schedule], **GN}
        recipes.append(Recipe(f"detectron_gn_{schedule}", source, **settings))
    source = f"{group_norm}/scratch_e2e_mask_rcnn_R-50-FPN_3x_gn.yaml"
    settings = {**DETECTRON_COCO, **ITERATIONS["3x"], **GN, **SCRATCH}
    recipes.append(Recipe("detectron_scratch_gn_3x", source, **settings))
    return recipes


def _detectron2_recipes() -> List[Recipe]:
    """List Detectron2's schedules; the longest ones are stated for 64 images."""
    recipes = []
    plain = f"{DETECTRON2}, configs/COCO-InstanceSegmentation/mask_rcnn_R_50_FPN"
    other_norms = f"{DETECTRON2}, configs/Misc"
    for schedule in ("1x", "3x"):
        source = f"{plain}_{schedule}.yaml"
        settings = {**DETECTRON2_COCO, **ITERATIONS[schedule]}
        recipes.append(Recipe(f"detectron2_{schedule}", source, **settings))
    longest = {
        **DETECTRON2_COCO,
        "batch_size": 64,
        "lr": 0.08,
        "length": 202500,
        "decay_at": (187500, 197500),
    }
    three = {**DETECTRON2_COCO, **ITERATIONS["3x"]}
    for name, file, settings in (
        ("gn_3x", "mask_rcnn_R_50_FPN_3x_gn", {**three, **GN}),
        ("syncbn_3x", "mask_rcnn_R_50_FPN_3x_syncbn", {**three, **SYNC_BN}),
        ("scratch_gn_3x", "scratch_mask_rcnn_R_50_FPN_3x_gn", {**three, **GN, **SCRATCH}),
        ("scratch_gn_9x", "scratch_mask_rcnn_R_50_FPN_9x_gn", {**longest, **GN, **SCRATCH}),
        (
            "scratch_syncbn_9x",
            "scratch_mask_rcnn_R_50_FPN_9x_syncbn",
            {**longest, **SYNC_BN, **SCRATCH},
        ),
    ):
        recipes.append(Recipe(f"detectron2_{name}", f"{other_norms}/{file}.yaml", **settings))
    voc = {
        **DETECTRON2_COCO,
        "images": VOC_IMAGES,
        "length": 18000,
        "decay_at": (12000, 16000),
        "lr_warmup": 100,
        "short": (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
    }
    source = f"{DETECTRON2}, configs/PascalVOC-Detection/faster_rcnn_R_50_FPN.yaml"
    recipes.append(Recipe("detectron2_voc", source, **voc))
    return recipes


def _switchnorm_recipes() -> List[Recipe]:
    """List SwitchNorm_Detection's schedules; the C4 one fine-tunes all stages."""
    folder = f"{SWITCHNORM}, configs/sn_baselines"
    two = {**DETECTRON_COCO, **ITERATIONS["2x"], **SN}
    three = {**DETECTRON_COCO, **ITERATIONS["3x"], **SN, **SCRATCH}
    return [
        Recipe("switchnorm_2x", f"{folder}/e2e_faster_rcnn_R-50-FPN_2x_sn.yaml", **two),
        Recipe(
            "switchnorm_c4_2x",
            f"{folder}/e2e_faster_rcnn_R-50-C4_2x_sn.yaml",
            freeze_at=0,
            **two,
        ),
        Recipe(
            "switchnorm_scratch_3x",
            f"{folder}/scratch_e2e_mask_rcnn_R-50-FPN_3x_sn.yaml",
            **three,
        ),
    ]


def _collect_recipes() -> Dict[str, Recipe]:
    """Join the recipes of all codebases by their names."""
    recipes: Dict[str, Recipe] = {}
    for codebase_recipes in (
        _gluoncv_recipes(),
        _torchvision_recipes(),
        _detectron_recipes(),
        _detectron2_recipes(),
        _switchnorm_recipes(),
    ):
        for recipe in codebase_recipes:
            recipes[recipe.name] = recipe
    return recipes


#: The recipes by name; register_recipe adds to them.
RECIPES: Registry[Recipe] = Registry("recipe", _collect_recipes())


def register_recipe(recipe: Recipe) -> None:
    """Add a recipe of your own; its name then works with ``--recipe`` and ``--plugin MODULE``.

    Parameters
    ----------
    recipe : Recipe
        The schedule, stated for any batch and data set.

    Raises
    ------
    InputError
        The name stands for another recipe already.
    """
    if not isinstance(recipe, Recipe):
        raise InputError(f"register_recipe got {recipe!r}; give a model_zoo.recipes.Recipe")
    RECIPES.register(recipe.name, recipe)


def list_recipes() -> List[str]:
    """List the names of all recipes.

    Returns
    -------
    list of str
        The names that :func:`get_recipe` takes, sorted.

    Examples
    --------
    >>> "detectron_1x" in list_recipes()
    True
    """
    return sorted(RECIPES)


def get_recipe(name: str) -> Recipe:
    """Find a recipe by its name.

    Parameters
    ----------
    name : str
        One of :func:`list_recipes`.

    Returns
    -------
    Recipe
        The schedule for the batch and the data set that it was published for.

    Raises
    ------
    InputError
        There is no such recipe.

    Examples
    --------
    >>> recipe = get_recipe("detectron_1x").scale(batch_size=2, images=118287)
    >>> recipe.lr, recipe.length
    (0.0025, 720000)
    """
    if name in RECIPES:
        return RECIPES[name]
    raise InputError(
        f"no recipe {name!r}{RECIPES.way_out(name)}. There are {', '.join(list_recipes())}"
    )
