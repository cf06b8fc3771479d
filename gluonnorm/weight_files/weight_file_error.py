"""What the readers and writers of weight files raise."""
from gluonnorm.errors import InputError


class WeightFileError(InputError):
    """A file of weights cannot be read or written; the message names it, says what is wrong and what to do."""
