"""The base of data sets whose images are files, with annotations that are read beforehand."""

from functools import cached_property
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from gluonnorm.data.annotations import ImageAnnotations
from gluonnorm.data.coco_format import coco_format
from gluonnorm.data.faults import Faults
from gluonnorm.data.image_files import keep_readable
from gluonnorm.data.images import read_image_of_size
from gluonnorm.data.labeled_image import DataError, LabeledImage
from gluonnorm.data.listing import Listing, make_listing
from gluonnorm.errors import first_few

import numpy as np

ALL_FILES = "."  # the split of all files in the data set's folder


class AnnotatedFile(NamedTuple):
    """An image file with its checked annotations.

    Attributes
    ----------
    path : str
        The image file.
    name : str
        Its name in messages and in ``coco_truth``.
    size : tuple of int
        Height and width in pixels.
    annotations : ImageAnnotations
        The checked annotations.
    listed_in : str
        The file that lists the image and, if it is a list, the line.
    size_source : str
        The file that states the size.
    image_id : int, optional
        The image's id in the file, for formats with ids. None takes the position in the data set.
    """

    path: str
    name: str
    size: Tuple[int, int]
    annotations: ImageAnnotations
    listed_in: str
    size_source: str
    image_id: Optional[int] = None


class FileDataset:
    """Images in files, whose annotations were read and checked when the data set was opened.

    A reader of a format collects the files and their faults, and passes them on to this class,
    which is the rest of the protocol ``data.Dataset``. If faults are skipped, every image is
    decoded once, so that damaged ones are left out too.

    Parameters
    ----------
    source : str
        The file or folder of the data set. Messages begin with it.
    classes : sequence of str
        Names of the C classes, which ``check_class_names`` has accepted.
    files : sequence of AnnotatedFile
        The images without those that are faulty.
    faults : Faults
        What is wrong with the data set.
    category_ids : sequence of int, optional
        The id of each class in the file, for formats with ids. None takes 1..C.
    misnamed_classes : sequence of str
        What is said of classes whose names are probably wrong, for formats without a list of them.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes. A label is an index into this tuple.
    category_ids : tuple of int
        The category id of each class in ``coco_truth``.
    image_ids : tuple of int
        The id of each image in ``coco_truth``.
    skipped : tuple of str
        The faults for which something was left out; empty without ``skip_bad``.
    boxes_without_area : tuple of str
        The places of the boxes that are left out because they have no area. A COCO file's are not
        among them, because ``coco_truth`` keeps them.
    misnamed_classes : tuple of str
        A message for each chosen class that no object of the split has, while objects of a class
        with a similar name are left out. Training refuses such a data set.

    Raises
    ------
    DataError
        There are faults and they are not skipped, an image is listed twice, or no image is left.
    """

    def __init__(
        self,
        source: str,
        classes: Sequence[str],
        files: Sequence[AnnotatedFile],
        faults: Faults,
        category_ids: Optional[Sequence[int]] = None,
        misnamed_classes: Sequence[str] = (),
    ) -> None:
        self._source = source
        self._files = _distinct_files(files, faults)
        if faults.skip:
            self._files = keep_readable(self._files, self._read_image, faults)
        faults.raise_if_any()
        self.classes = tuple(classes)
        self.category_ids = tuple(category_ids or range(1, len(self.classes) + 1))
        self._skip_bad = faults.skip
        self.skipped = faults.messages
        self.misnamed_classes = tuple(misnamed_classes)
        if not self._files:
            reason = (
                f", every image is faulty: {first_few(self.skipped, 1)}" if self.skipped else ""
            )
            raise DataError(f"{source}: is an empty data set{reason}")
        without_area: List[str] = []
        for file in self._files:
            without_area += file.annotations.without_area
        self.boxes_without_area = tuple(without_area)
        sizes = [file.size for file in self._files]
        self._sizes = np.array(sizes, np.int64)
        ids = []
        for position, file in enumerate(self._files):
            ids.append(position if file.image_id is None else file.image_id)
        self.image_ids = tuple(ids)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._files)

    def __getitem__(self, index: int) -> LabeledImage:
        """Read one image and its annotations.

        Parameters
        ----------
        index : int
            Position of the image in the data set.

        Returns
        -------
        LabeledImage
            The decoded image with its boxes and labels.

        Raises
        ------
        DataError
            The image cannot be read, or has another size than its annotations were made for.
        """
        file = self._files[index]
        image = self._read_image(file)
        return file.annotations.labeled_image(image, self.image_ids[index], file.name)

    def with_masks(self) -> Any:
        """Open the data set with masks, if its format has any.

        Raises
        ------
        DataError
            The format has no masks.
        """
        self._refuse_masks()

    def sizes(self) -> np.ndarray:
        """Return the size of every image.

        Returns
        -------
        numpy.ndarray
            (N, 2) int, height and width in pixels.
        """
        return self._sizes

    def coco_truth(self) -> Dict[str, Any]:
        """Return the ground truth in COCO's format.

        Returns
        -------
        dict
            The content of a COCO annotation file. Image ids are positions in the data set, and
            ``difficult`` is ``iscrowd``.
        """
        names = [file.name for file in self._files]
        annotations = [file.annotations for file in self._files]
        return coco_format(self.classes, names, self._sizes, annotations)

    @cached_property
    def listing(self) -> Listing:
        """The images and objects of ``coco_truth`` as arrays, which are kept."""
        return make_listing(self)

    def _read_image(self, file: AnnotatedFile) -> np.ndarray:
        """Read an image, and check its size."""
        return read_image_of_size(file.path, file.size, file.size_source)

    def _refuse_masks(self) -> NoReturn:
        """Raise the error of a format without masks."""
        raise DataError(
            f"{self._source}: this format holds no masks; use a network of boxes alone, or give a "
            "COCO, YOLO or Labelme data set"
        )


def _distinct_files(files: Sequence[AnnotatedFile], faults: Faults) -> List[AnnotatedFile]:
    """Leave out images that are listed a second time, and record each as a fault."""
    first_of_path: Dict[str, AnnotatedFile] = {}
    for file in files:
        first = first_of_path.setdefault(file.path, file)
        if first is file:
            continue
        if first.name == file.name:
            faults.add(
                f"{file.listed_in}: image {file.name} is listed in {first.listed_in} already; it "
                "would count twice, so remove one of them"
            )
        else:
            faults.add(
                f"{file.listed_in}: there is only {file.path} for the images {first.name} and "
                f"{file.name}; keep the subfolders, or remove one of them"
            )
    return list(first_of_path.values())
