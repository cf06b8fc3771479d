"""The directives ``detector-table`` and ``backbone-table``: the names of the catalogue as tables.

    ```{detector-table} gluoncv
    ```

has the detectors of ``model_zoo.catalogue.ROWS["gluoncv"]``. Both write Markdown, so they belong on
pages in Markdown.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from model_zoo.backbone_builders import BACKBONES
from model_zoo.catalogue import ROWS
from model_zoo.classes import COCO_CLASSES, COCO_IDS, VOC_CLASSES
from model_zoo.published_weights import PUBLISHED_WEIGHTS
from model_zoo.publishers.published_file import PublishedWeights
from model_zoo.rows.model import Model

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DETECTOR_COLUMNS = ("name", "published weights", "backbone", "norm", "neck, box head", "classes")
BACKBONE_COLUMNS = ("name", "published weights", "accuracy", "pixels", "norm")
CLASSES_IN_WORDS: Dict[Optional[Tuple[str, ...]], str] = {
    COCO_CLASSES: "COCO's 80",
    COCO_IDS: "COCO's 90 ids",
    VOC_CLASSES: "VOC's 20",
    None: "yours",
}
# The page says it once.
USUAL_DATA_SET = " on COCO val2017"
Row = Sequence[str]


def detector_row(model: Model) -> Row:
    """Write what the catalogue says about a detector.

    Parameters
    ----------
    model : Model
        The row of the catalogue.

    Returns
    -------
    sequence of str
        The cells, in the order of ``DETECTOR_COLUMNS``.
    """
    return (
        f"`{model.name}`",
        published_of(model.name),
        f"`{model.backbone}`",
        f"`{model.norm}`",
        f"{model.neck}, {model.head}",
        CLASSES_IN_WORDS[model.classes],
    )


def published_of(name: str) -> str:
    """Write which weights ``pretrained=True`` takes for a detector, and how accurate they are."""
    for record in PUBLISHED_WEIGHTS.values():
        if record.models[:1] == (name,):
            return (record.metric or "").replace(USUAL_DATA_SET, "")
        if name in record.models:
            return f"those with `_{record.models[0].rpartition('_')[2]}`"
    return ""


def backbone_rows(name: str) -> List[Row]:
    """Write which published files fill a backbone.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    list of sequence of str
        A row for each file, with cells in the order of ``BACKBONE_COLUMNS``; a row with the name
        alone if there is none.
    """
    files = [record for record in PUBLISHED_WEIGHTS.values() if name in record.backbones]
    rows = [backbone_row(name, record) for record in files]
    return rows or [[f"`{name}`", "", "", "", ""]]


def backbone_row(name: str, record: PublishedWeights) -> Row:
    """Write the row of one file."""
    norms = ", ".join(f"`{norm}`" for norm in record.norms)
    return f"`{name}`", f"`{record.key}`", record.metric or "", record.order, norms


class MarkdownTable(SphinxDirective):
    """A directive that writes a table in Markdown."""

    def parse_table(self, columns: Sequence[str], rows: Sequence[Row]) -> List[nodes.Node]:
        """Turn a table into nodes, in every build: the catalogue changes while the page does not.

        Parameters
        ----------
        columns : sequence of str
            The head of the table.
        rows : sequence of sequence of str
            The cells of each row.

        Returns
        -------
        list of docutils.nodes.Node
            The table.
        """
        self.env.note_reread()
        rule = ["---"] * len(columns)
        lines = [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.name), 0, holder)
        holder.children[0]["classes"].append("catalogue")
        return holder.children


class DetectorTable(MarkdownTable):
    """The detectors of one codebase."""

    required_arguments = 1

    def run(self) -> List[nodes.Node]:
        """Make the table."""
        rows = [detector_row(model) for model in ROWS[self.arguments[0]]]
        return self.parse_table(DETECTOR_COLUMNS, rows)


class BackboneTable(MarkdownTable):
    """The backbones of the catalogue."""

    def run(self) -> List[nodes.Node]:
        """Make the table."""
        rows: List[Row] = []
        for name in sorted(BACKBONES):
            rows += backbone_rows(name)
        return self.parse_table(BACKBONE_COLUMNS, rows)


def setup(app: Sphinx) -> Dict[str, Any]:
    """Register the directives, as Sphinx asks for it."""
    app.add_directive("detector-table", DetectorTable)
    app.add_directive("backbone-table", BackboneTable)
    return {"parallel_read_safe": True}
