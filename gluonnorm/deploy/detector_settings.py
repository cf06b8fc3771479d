"""What a predictor needs to know about its network, and where a manifest says it."""

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
