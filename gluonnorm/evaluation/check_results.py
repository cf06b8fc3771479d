"""The check that results and ground truth belong to the same data set."""

from typing import Any, Mapping, Sequence

from gluonnorm.errors import InputError


def check_results(ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Check that results and ground truth belong to the same data set.

    Parameters
    ----------
    ground_truth : mapping
        A COCO dict with ``images`` and ``categories``.
    results : sequence of mapping
        COCO result entries with ``image_id`` and ``category_id``.

    Raises
    ------
    InputError
        A result has an image or category that the ground truth does not have, or two categories
        have the same name.
    """
    names = [category["name"] for category in ground_truth["categories"]]
    if len(set(names)) < len(names):
        raise InputError(
            f"two categories of the ground truth have the same name; the names are {names}"
        )
    for key, section in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in ground_truth[section]}
        used = {result[key] for result in results}
        unknown = sorted(used - known)
        if unknown:
            raise InputError(
                f"{len(unknown)} {key} values of the results are not in the ground "
                f"truth, the first is {unknown[0]}; ground truth and results must "
                "come from the same data set"
            )
