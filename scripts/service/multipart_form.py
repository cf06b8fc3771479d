"""The files in the body of a form, which is read piece by piece and kept in memory."""

from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Dict, List, NamedTuple, Optional

from service.refusal import Refusal

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

FIELD = "file"  # the name of the form's field that holds photos
LONGEST_NAME = 80  # letters of a file's name that are kept
LONGEST_HEADER = 4096  # bytes of the headers of one part
# The charsets that RFC 5987 asks for in a name such as filename*=UTF-8''k%C3%A4se.png.
CHARSETS = ("utf-8", "iso-8859-1")


class Upload(NamedTuple):
    """A file that a client sent.

    Attributes
    ----------
    name : str
        The client's name of it, short and printable.
    content : bytearray
        Its bytes.
    """

    name: str
    content: bytearray


class MultipartForm:
    """Collect the files in the field ``file`` of a form.

    Parameters
    ----------
    content_type : str
        The header ``Content-Type`` of the request, which holds the boundary.
    max_images : int
        The most files.

    Attributes
    ----------
    uploads : list of Upload
        The files so far.

    Raises
    ------
    Refusal
        400: there is no boundary.
    """

    def __init__(self, content_type: str, max_images: int) -> None:
        self.uploads: List[Upload] = []
        self._max_images = max_images
        self._is_complete = False
        self._headers: Dict[str, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._current: Optional[Upload] = None
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise Refusal(400, "the Content-Type of the form names no boundary")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_to_header_name,
                    "on_header_value": self._add_to_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_content,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise Refusal(400, "the boundary of the form is too long") from None

    def write(self, data: bytes) -> None:
        """Take the next piece of the body.

        Parameters
        ----------
        data : bytes
            The piece.

        Raises
        ------
        Refusal
            400: it is no form, or has other fields; 413: it has too many files.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise Refusal(400, "the body is not the form that its Content-Type promises") from None

    def finish(self) -> List[Upload]:
        """Return the files after the last piece.

        Returns
        -------
        list of Upload
            At least one file.

        Raises
        ------
        Refusal
            400: the form is cut off, or has no file in the field ``file``.
        """
        if not self._is_complete:
            raise Refusal(400, "the form is cut off before its closing boundary")
        if not self.uploads:
            raise Refusal(400, f"the form has no file in the field {FIELD!r}")
        return self.uploads

    def _begin_part(self) -> None:
        """Forget the part before."""
        self._headers = {}
        self._current = None

    def _add_to_header_name(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header's name."""
        self._header_name += data[start:end]
        self._check_header_length()

    def _add_to_header_value(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a header's value."""
        self._header_value += data[start:end]
        self._check_header_length()

    def _check_header_length(self) -> None:
        """Refuse a part whose headers have no end."""
        if len(self._header_name) + len(self._header_value) > LONGEST_HEADER:
            raise Refusal(400, f"a part of the form has a header of over {LONGEST_HEADER} bytes")

    def _end_header(self) -> None:
        """Keep a header."""
        name = self._header_name.decode("latin-1").lower()
        self._headers[name] = self._header_value
        self._header_name = b""
        self._header_value = b""

    def _end_headers(self) -> None:
        """Begin a file."""
        disposition = self._headers.get("content-disposition", b"")
        parameters = _parameters(disposition)
        field = parameters.get("name", "")
        if field != FIELD:
            # A threshold in the form, for example, would be left out in silence.
            raise Refusal(
                400,
                f"the form has a field {shown_name(field)!r}; photos belong into the field "
                f"{FIELD!r}, and score_thresh into the address",
            )
        if len(self.uploads) == self._max_images:
            raise Refusal(413, f"the form has more than {self._max_images} files; send fewer")
        self._current = Upload(shown_name(parameters.get("filename", "")), bytearray())
        self.uploads.append(self._current)

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of a file."""
        assert self._current is not None
        self._current.content.extend(memoryview(data)[start:end])

    def _end(self) -> None:
        """Remember that the closing boundary was there."""
        self._is_complete = True


def _parameters(disposition: bytes) -> Dict[str, str]:
    """Read the parameters of the header Content-Disposition, such as ``name`` and ``filename``.

    RFC 7578 forbids ``filename*`` in forms, and versions of python-multipart differ in what they
    make of it. Some clients send names with letters beyond ASCII in it alone, so it is read where
    there is no plain ``filename``. A header that cannot be read is refused with 400.
    """
    message = Message()
    message["Content-Disposition"] = disposition.decode("latin-1")
    parameters: Dict[str, str] = {}
    try:
        # Plain parameters come first.
        named_values = message.get_params([], header="Content-Disposition")
    # What it raises on faulty headers is not documented. A TypeError is among it.
    except Exception:
        raise Refusal(400, "a part of the form has a faulty Content-Disposition") from None
    for name, value in named_values:
        if isinstance(value, tuple):
            charset = value[0] or ""
            text = collapse_rfc2231_value(value) if charset.lower() in CHARSETS else ""
        else:
            text = value.encode("latin-1").decode("utf-8", "replace")
        parameters.setdefault(name.lower(), text)
    return parameters


def shown_name(file_name: str) -> str:
    """Shorten a client's file name to what answers show.

    Parameters
    ----------
    file_name : str
        Any text.

    Returns
    -------
    str
        Its printable letters, ``"photo"`` if there are none.

    Examples
    --------
    >>> shown_name("cell.png"), shown_name("")
    ('cell.png', 'photo')
    """
    printable = "".join(letter for letter in file_name if letter.isprintable())
    return printable[:LONGEST_NAME] or "photo"
