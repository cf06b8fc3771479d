"""What conversion raises."""
from gluonnorm.errors import InputError


class ConversionError(InputError):
    """Weights of another codebase cannot be read or do not fit; the message says what is wrong and what to do."""
