"""What a predictor needs to know about its network, and where a manifest says it."""

from operator import attrgetter
from typing import Any, Dict, NamedTuple, Tuple

from gluonnorm.deploy.bundle import DeployError, Manifest
from gluonnorm.errors import InputError
from gluonnorm.photos.paste import PASTE_METHODS
from gluonnorm.types import Preprocess


class DetectorSettings(NamedTuple):
    """What a predictor needs to know about its network.

    Attributes
    ----------
    classes : tuple of str
        Names in the order of the ids.
    preprocess : Preprocess
        How photos are prepared.
    mask_paste : str
        How masks are pasted.
    score_thresh : float
        Score above which the network looks at candidates.
    """

    classes: Tuple[str, ...]
    preprocess: Preprocess
    mask_paste: str
    score_thresh: float


def settings_of_network(net: Any) -> DetectorSettings:
    """Read the settings of a detector of this process.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        The detector.

    Returns
    -------
    DetectorSettings
        The settings.

    Raises
    ------
    DeployError
        The network is not a detector.
    """
    require_detector(
        net, "classes", "preprocess", "config.convention.mask_paste", "config.score_thresh"
    )
    return DetectorSettings(
        classes=net.classes,
        preprocess=net.preprocess,
        mask_paste=net.config.convention.mask_paste,
        score_thresh=net.config.score_thresh,
    )


def require_detector(net: Any, *attributes: str) -> None:
    """Check that a network has what only a detector has.

    Parameters
    ----------
    net : mx.gluon.HybridBlock
        Any network.
    *attributes : str
        Names of attributes; "config.score_thresh" is one of ``config``.

    Raises
    ------
    DeployError
        The network has not all of them.
    """
    for name in attributes:
        try:
            attrgetter(name)(net)
        except AttributeError as error:
            raise DeployError(
                f"{type(net).__name__} is not a detector, since it has no {name}; give a network "
                "of model_zoo.get_model, or one with the attributes of "
                "gluonnorm.rcnn.FasterRCNN; exported files are opened by Predictor(PREFIX)"
            ) from error


def settings_of_manifest(manifest: Manifest, prefix: str) -> DetectorSettings:
    """Read the settings of a detector from its manifest; entries that old ones lack have defaults.

    Parameters
    ----------
    manifest : dict
        What ``export`` wrote.
    prefix : str
        The prefix of the files, for messages.

    Returns
    -------
    DetectorSettings
        The settings.

    Raises
    ------
    DeployError
        The manifest does not say how to prepare photos, or masks are pasted in an unknown way.
    """
    config: Dict[str, Any] = manifest.get("config", {})
    convention: Dict[str, Any] = config.get("convention", {})
    # Version 0.1 wrote how corners are counted into the convention alone.
    defaults = {"inclusive": convention.get("inclusive", False)}
    try:
        classes = tuple(manifest["classes"])
        preprocess = Preprocess.from_manifest({**defaults, **manifest["preprocess"]})
    except (KeyError, TypeError, InputError) as error:
        raise DeployError(
            f"{prefix}.json does not say how to prepare photos ({error}); export again"
        ) from error
    mask_paste = convention.get("mask_paste", "sample")
    if mask_paste not in list(PASTE_METHODS):
        raise DeployError(
            f"{prefix}.json says that masks are pasted by {mask_paste!r:.40}; this version knows "
            f"{', '.join(PASTE_METHODS)}; export again, or use the version that wrote the file"
        )
    return DetectorSettings(
        classes=classes,
        preprocess=preprocess,
        mask_paste=mask_paste,
        score_thresh=config.get("score_thresh", 0),
    )
