"""What an experiment is: rows that differ in a few factors, each trained with several seeds."""

from typing import Dict, NamedTuple, Tuple

# What stands in the flags of a row for files that are not in the repository.
BCCD, NUCLEI, RESNET50_V2 = "BCCD", "NUCLEI", "RESNET50_V2"
# The same weights for raw pixels, which experiment.py makes of them.
RESNET50_V2_RAW = "RESNET50_V2_RAW"
# A drawn data set, which experiment.py makes.
SHAPES = "SHAPES"


class Row(NamedTuple):
    """A training run of an experiment, but for its seed.

    Attributes
    ----------
    label : str
        Its name within the experiment, which is also the first part of file names.
    factors : dict of str to str
        What tells it from the other rows: the first columns of the table.
    flags : tuple of str
        What ``scripts/train_faster_rcnn.py`` is given. The names in capitals of this file
        stand for files and folders of the user.
    """

    label: str
    factors: Dict[str, str]
    flags: Tuple[str, ...]


class Experiment(NamedTuple):
    """Rows that answer a question together.

    Attributes
    ----------
    name : str
        Its name on the command line, and that of its folder of results.
    title : str
        What it compares, in a line.
    rows : tuple of Row
        In the order of the table. All have the same factors.
    scores : tuple of str
        The scores of its table, as the evaluation names them. Rows may lack some of them.
    panel, x, series : str
        The factors that choose the panel of the plot, the place on its axis, and the color.
    """

    name: str
    title: str
    rows: Tuple[Row, ...]
    scores: Tuple[str, ...]
    panel: str
    x: str
    series: str
