"""One process of the benchmark: it makes one thing ready and then runs it whenever asked.

Also what all of them must agree on: pictures, truth, and which detections count. Imported by interpreters that have no
MXNet, so it needs NumPy alone.
"""
import json
import math
import os
import re
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

Run = Callable[[], Any]
Task = Dict[str, Any]
Facts = Dict[str, Any]

SHORTEST = 0.2  # seconds; what takes less is run several times and averaged
COUNTED = 100  # detections of an image, best first ...
SCORE = 0.05  # ... with a better score than this
MEAN, STD = (np.array(values, np.float32)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def serve(prepare: Callable[[Task], Tuple[Optional[Run], Facts]],
          profile: Optional[Callable[[Run], Dict[str, List[float]]]] = None) -> None:
    """Do the task of the command line, and answer requests with a line of JSON each.

    ``prepare(task)`` returns what to run (waiting for its result), having run it once, and facts about the result;
    where there is nothing to run, the facts are the only answer. Requests, a line each: ``run`` gets ``seconds`` and
    ``memory`` (the process's peak so far, in bytes); ``profile`` gets ``operators``.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    run, facts = prepare(json.loads(sys.argv[1]))
    if run is None:
        answer(**facts)
        return
    repeats = max(1, math.ceil(SHORTEST / seconds(run)))  # also the second run of the warm-up
    answer(**facts)
    for request in sys.stdin:
        if request.strip() == "profile" and profile is not None:
            answer(operators=profile(run))
        else:
            answer(seconds=seconds(run, repeats), memory=peak_memory())


def seconds(run: Run, repeats: int = 1) -> float:
    """Seconds that one run takes."""
    began = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - began) / repeats


def peak_memory() -> int:
    """The most memory this process has held, in bytes; 0 where the system does not say.

    Not ``getrusage``, whose number begins with that of the process this one was forked from.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0


def photos(count: int, size: Sequence[int], seed: int) -> np.ndarray:
    """(count, H, W, 3) uint8: waves with blocks upon them."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    pictures = []
    for index in range(count):
        rng = np.random.RandomState(1000 * seed + index)
        picture = np.stack([np.sin(rng.uniform(0.01, 0.06) * y + rng.uniform(0, 6))
                            + np.cos(rng.uniform(0.01, 0.06) * x + rng.uniform(0, 6)) for _ in range(3)], axis=-1)
        for _ in range(12):
            h, w = rng.randint(height // 12, height // 2), rng.randint(width // 12, width // 2)
            top, left = rng.randint(0, height - h), rng.randint(0, width - w)
            picture[top:top + h, left:left + w] += rng.uniform(-1.5, 1.5, 3)
        pictures.append(np.clip(127 + 40 * picture, 0, 255).astype(np.uint8))
    return np.stack(pictures)


def images(count: int, size: Sequence[int], seed: int) -> np.ndarray:
    """The photos as all of these networks want them: (count, 3, H, W) float32, RGB, normalized."""
    return (photos(count, size, seed).transpose(0, 3, 1, 2).astype(np.float32) / 255 - MEAN) / STD


def truth(count: int, size: Sequence[int], seed: int, objects: int = 8) -> Tuple[np.ndarray, np.ndarray]:
    """Boxes (count, objects, 4) and labels (count, objects), 0 the first foreground class, to train on."""
    rng = np.random.RandomState(seed)
    far = np.array([size[1], size[0]] * 2, np.float32) - 1
    corners, sides = rng.uniform(0, 0.6, (count, objects, 2)), rng.uniform(0.08, 0.4, (count, objects, 2))
    return (np.concatenate([corners, corners + sides], axis=-1) * far).astype(np.float32), rng.randint(
        0, 80, (count, objects))


def best(ids: np.ndarray, scores: np.ndarray, boxes: np.ndarray) -> List[List[float]]:
    """The detections that count, as rows id, score, x1, y1, x2, y2.

    Not those with all corners at -1, which GluonCV makes of the proposals it lacks.
    """
    ids, scores = ids.reshape(-1), scores.reshape(-1)
    real = (scores > SCORE) & (boxes != -1).any(axis=1)
    order = np.flatnonzero(real)[np.argsort(-scores[real], kind="stable")][:COUNTED]
    return np.column_stack([ids, scores, boxes])[order].astype(float).tolist()
