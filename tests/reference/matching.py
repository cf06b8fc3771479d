"""Which truth belongs to which box, by two loops."""
from reference.boxes import iou


def match(boxes, truths):
    """Of each box: its best truth's index, that IoU, and whether it is a best box of some truth."""
    table = [[iou(box, truth) for truth in truths] for box in boxes]
    best = [max(row[g] for row in table) for g in range(len(truths))]
    truth = [max(range(len(truths)), key=lambda g, row=row: row[g]) for row in table]
    is_best = [any(row[g] == best[g] > 0 for g in range(len(truths))) for row in table]
    return truth, [max(row) for row in table], is_best
