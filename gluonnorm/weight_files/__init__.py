"""Files of weights in every format, read and written without the framework that made them.

Nothing in this room knows a network. Other rooms also use its atomic writing, its checksums, and
its comparison of stored arrays with parameters.
"""

from gluonnorm.weight_files.atomic import atomic_files, file_digest, remove_if_exists
from gluonnorm.weight_files.content import Content, WeightFileError
from gluonnorm.weight_files.description import parse_description, read_description
from gluonnorm.weight_files.formats import read_arrays, read_file, write_arrays
from gluonnorm.weight_files.mismatches import Mismatches, compare, shape_fits, unusable_reason
from gluonnorm.weight_files.prefixes import take_off_prefix
from gluonnorm.weight_files.weight_search import NO_ARRAYS_PHRASE, take_entry

__all__ = [
    "NO_ARRAYS_PHRASE",
    "Content",
    "Mismatches",
    "WeightFileError",
    "atomic_files",
    "compare",
    "file_digest",
    "parse_description",
    "read_arrays",
    "read_description",
    "read_file",
    "remove_if_exists",
    "shape_fits",
    "take_entry",
    "take_off_prefix",
    "unusable_reason",
    "write_arrays",
]
