"""Files of weights in every format, read and written without the framework that made them.

Nothing in this room knows a network. What it knows of files serves the other rooms as well: atomic
writing, checksums, and the comparison of stored arrays with the expected ones.
"""

from gluonnorm.weight_files.atomic import atomic_files, file_digest, remove_if_exists
from gluonnorm.weight_files.content import Content
from gluonnorm.weight_files.formats import read_arrays, read_file, write_arrays
from gluonnorm.weight_files.mismatches import Mismatches, compare, shape_fits
from gluonnorm.weight_files.weight_file_error import WeightFileError

__all__ = [
    "Content",
    "Mismatches",
    "WeightFileError",
    "atomic_files",
    "compare",
    "file_digest",
    "read_arrays",
    "read_file",
    "remove_if_exists",
    "shape_fits",
    "write_arrays",
]
