"""Matching of boxes with ground-truth boxes, by two loops."""

from reference.boxes import iou


def match(boxes, ground_truth_boxes):
    """Find for each box its best ground-truth box.

    Returns three lists: the index of that box, the IoU with it, and whether no other box overlaps
    some ground-truth box more.
    """
    table = []
    for box in boxes:
        table.append([iou(box, other) for other in ground_truth_boxes])
    best_of_column = [max(column) for column in zip(*table)]
    indices = []
    largest = []
    is_best = []
    for row in table:
        largest.append(max(row))
        indices.append(row.index(max(row)))
        is_best.append(any(value == best > 0 for value, best in zip(row, best_of_column)))
    return indices, largest, is_best
