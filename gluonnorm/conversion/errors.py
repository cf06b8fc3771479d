"""The error class of the conversion of weights."""

from gluonnorm.errors import InputError


class ConversionError(InputError):
    """Weights of another codebase cannot be read, written, or matched with the network.

    The message names what is wrong and what to do about it.
    """
