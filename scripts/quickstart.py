"""The whole way in a few minutes: draw a data set, train, evaluate, export, detect with the exported files.

Each step is one of the other scripts or a call that a program of yours would make. Everything lands in --output.

example:
  python scripts/quickstart.py --output demo
"""
import argparse
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import model_zoo
from gluonnorm import deploy, training
from gluonnorm.data import COCODataset, draw_shapes
from gluonnorm.visualize import draw, grid

import mxnet as mx
import numpy as np
import train_faster_rcnn as train
from _callbacks import evaluate
from _cli import run, seed_everything
from PIL import Image

NETWORK = "faster_rcnn_fpn_resnet18_v1b_custom"
SETTINGS: Dict[str, Any] = {
    "short": 128, "max_size": 256, "anchor_sizes": ((16,), (32,), (64,), (128,), (256,)), "fpn_channels": 64,
    "rpn_channels": 64, "num_sample": 64, "rpn_num_sample": 64, "rpn_train_pre_nms": 200, "rpn_train_post_nms": 100,
    "rpn_test_pre_nms": 200, "rpn_test_post_nms": 50, "max_detections": 20}


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """The command line's flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="demo", metavar="FOLDER", help="where everything goes (default: demo)")
    parser.add_argument("--images", type=int, default=240, metavar="N", help="to train on (default: 240)")
    parser.add_argument("--val-images", type=int, default=40, metavar="N", help="held out (default: 40)")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--seed", type=int, default=233, help="of pictures, weights and order (default: 233)")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    """Draw, train, evaluate, export, detect."""
    began = time.time()
    output = Path(args.output)
    data, prefix, exported = output / "data", output / "run" / "shapes", output / "export" / "shapes"
    print(f"1. drawing {args.images} + {args.val_images} images of coloured shapes into {data}")
    draw_shapes(data, args.images, args.val_images, seed=args.seed)
    held_out = COCODataset(data / "annotations" / "instances_val.json", data / "val")

    print(f"2. training {NETWORK} with group norm, from scratch, for {args.epochs} epochs")
    for file in prefix.parent.glob(f"{prefix.name}*"):  # of an earlier demo
        file.unlink()
    seed_everything(args.seed)
    fresh = model_zoo.get_model(NETWORK, norm="gn", classes=held_out.classes, **SETTINGS)
    before = evaluate(fresh, [mx.cpu()], held_out)
    train.main(train.parse_args(train_flags(args, data, prefix)))

    checkpoint = training.latest(str(prefix)) or ""  # training has left one
    net = model_zoo.from_spec(training.read(checkpoint)["spec"])
    training.load(checkpoint, net)
    after = evaluate(net, [mx.cpu()], held_out)
    print(f"3. on {len(held_out)} held-out images, before and after training: "
          f"AP {before['AP']:.3f} -> {after['AP']:.3f}, AP50 {before['AP50']:.3f} -> {after['AP50']:.3f}")

    exported.parent.mkdir(parents=True, exist_ok=True)
    deploy.export(net, str(exported))
    picture = output / "detections.jpg"
    Image.fromarray(detections(str(exported), held_out)).save(picture, quality=92)
    print("4. exported, loaded back as a plain symbol, and run on held-out images\n")
    for what, where in (("data set", data), ("checkpoint", checkpoint), ("curve", f"{prefix}-curve.png"),
                        ("exported", f"{exported}-symbol.json"), ("picture", picture)):
        print(f"{what:<11}{where}")
    print(f"{time.time() - began:.0f} seconds")


def train_flags(args: argparse.Namespace, data: Path, prefix: Path) -> List[str]:
    """The command line of the training script."""
    return ["--network", NETWORK, "--norm", "gn", "--dataset", "coco", "--data-root", str(data),
            "--train-split", "train", "--val-split", "val", "--epochs", str(args.epochs), "--batch-size", "2",
            "--lr", "0.01", "--lr-decay-epoch", str(0.75 * args.epochs), "--lr-warmup", "20", "--clip-gradient", "10",
            "--seed", str(args.seed), "--save-prefix", str(prefix),
            "--set", *(f"{name}={value}" for name, value in SETTINGS.items())]


def detections(exported: str, dataset: COCODataset, count: int = 12) -> np.ndarray:
    """One picture of what the exported files find on the first images of ``dataset``."""
    detector = deploy.Predictor(exported)
    images = [dataset[i].image for i in range(min(count, len(dataset)))]
    return grid([draw(image, found, detector.classes) for image, found in zip(images, detector(images))])


if __name__ == "__main__":
    run(main, parse_args())
