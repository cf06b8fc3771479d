"""What the command line of the service decides."""

from typing import NamedTuple, Optional, Sequence

MEGABYTE = 1 << 20


class ServiceSettings(NamedTuple):
    """The limits and options of a service; a new process gets them as they are.

    Attributes
    ----------
    exported : str
        The prefix of the exported files.
    backend : str or None
        The run time, as for ``Predictor``.
    gpus : str
        The GPU of MXNet or onnxruntime, such as "0"; "" for the CPU.
    host : str
        The address that is listened on.
    port : int
        The port; 0 takes a free one.
    workers : int
        How many processes answer requests.
    batch_size : int
        The most photos that the network sees at once.
    queue : int
        The most photos that a process has accepted and not answered.
    max_images : int
        The most photos of one request.
    max_body : int
        The most bytes of one request's body.
    max_pixels : int
        The most pixels of one photo.
    client_timeout : float
        Seconds that a client may take for the head of a request, for its body beyond what the
        body's length allows, and for taking the answer.
    grace : float
        Seconds between SIGTERM and the end of listening.
    api_key : str or None
        What clients must send; None for a service that is open to everybody.
    tls_cert, tls_key : str or None
        PEM files of the certificate and of its private key; None for plain HTTP.
    plugin : sequence of str
        The user's modules, which each process imports.
    """

    exported: str
    backend: Optional[str] = None
    gpus: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    batch_size: int = 1
    queue: int = 32
    max_images: int = 8
    max_body: int = 20 * MEGABYTE
    max_pixels: int = 40_000_000
    client_timeout: float = 20.0
    grace: float = 2.0
    api_key: Optional[str] = None
    tls_cert: Optional[str] = None
    tls_key: Optional[str] = None
    plugin: Sequence[str] = ()
