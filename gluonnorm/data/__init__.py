"""Data sets, and the way from their images and annotations to batches."""

from gluonnorm.data.batchify import Batch, SampleInfo, batchify
from gluonnorm.data.coco import COCODataset
from gluonnorm.data.faults import Faults
from gluonnorm.data.gluoncv import GluonCVDataset
from gluonnorm.data.images import image_size, read_image
from gluonnorm.data.images_with_boxes import ImagesWithBoxes
from gluonnorm.data.inspection import Inspection, inspect
from gluonnorm.data.labeled_image import DataError, Dataset, LabeledImage
from gluonnorm.data.labelme import LabelmeDataset
from gluonnorm.data.loader import Loader
from gluonnorm.data.lst import LSTDataset
from gluonnorm.data.matched_classes import MatchedClasses
from gluonnorm.data.recordio import RecordDataset
from gluonnorm.data.repeat_factors import repeat_factors
from gluonnorm.data.sampler import AspectGroupSampler, EqualSizeSampler
from gluonnorm.data.synthetic import draw_shapes
from gluonnorm.data.transforms import MASK_SIZE, EvalTransform, Sample, TrainTransform
from gluonnorm.data.voc import VOCDataset
from gluonnorm.data.yolo import YOLODataset
from gluonnorm.photos.resize import resize_size

__all__ = [
    "MASK_SIZE",
    "AspectGroupSampler",
    "Batch",
    "COCODataset",
    "DataError",
    "Dataset",
    "EqualSizeSampler",
    "EvalTransform",
    "Faults",
    "GluonCVDataset",
    "LSTDataset",
    "Inspection",
    "LabeledImage",
    "LabelmeDataset",
    "Loader",
    "ImagesWithBoxes",
    "MatchedClasses",
    "RecordDataset",
    "Sample",
    "SampleInfo",
    "TrainTransform",
    "VOCDataset",
    "YOLODataset",
    "batchify",
    "draw_shapes",
    "image_size",
    "inspect",
    "read_image",
    "repeat_factors",
    "resize_size",
]
