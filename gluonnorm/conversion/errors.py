"""What conversion raises."""


class ConversionError(ValueError):
    """A file of weights cannot be read, or does not fit; the message names it, says what is wrong and what to do."""


def cause_of(error: BaseException) -> str:
    """What another program's error says, as part of one line."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 160 else f"{text[:157]}..."
