"""One process that answers requests, from its start until it is drained."""

import argparse
import asyncio
import io
import math
import os
import signal
import socket
import ssl
import time
from typing import Any, Callable, List, Optional, Type

from gluonnorm.deploy import Predictor
from gluonnorm.errors import InputError, first_line
from gluonnorm.photos.files import LIMIT_VARIABLE
from service.application import DetectionService, make_application
from service.client_timeouts import TimedConnection
from service.metrics import ServiceMetrics
from service.settings import ServiceSettings

import numpy as np
import uvicorn
from _detector import open_detector
from PIL import Image

KEEP_ALIVE = 15  # seconds that an idle connection stays open
TICK = 0.05  # seconds between two looks at what is left to drain
WARM_UP_SIZE = (480, 640)  # height and width in pixels, where the limit allows as many


class DrainingServer(uvicorn.Server):
    """A server that answers what it has accepted before it ends.

    After a first signal ``/readyz`` says 503, so that load balancers send no more. For ``grace``
    seconds the server goes on as before. Then it refuses new requests for detections, and ends when
    the last one that it has accepted is answered. A second Ctrl-C ends it at once.

    Parameters
    ----------
    config : uvicorn.Config
        The configuration.
    service : DetectionService
        What the routes share.
    grace : float
        Seconds between SIGTERM and the end of listening. Ctrl-C does not wait for them.
    on_ready : callable
        Is called without arguments when the server listens.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: DetectionService,
        grace: float,
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._service = service
        self._grace = grace
        self._on_ready = on_ready

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal."""
        if sig == signal.SIGINT:
            self._grace = 0
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        """Answer requests until a signal, and then until nothing is left."""
        await super().main_loop()
        self._service.is_draining = True
        start_time = time.monotonic()
        while not self.force_exit:
            # Ctrl-C during the grace ends it.
            if time.monotonic() >= start_time + self._grace:
                self._service.is_closing = True
                if self._service.num_requests == 0:
                    return
            await asyncio.sleep(TICK)


def check_certificate(settings: ServiceSettings) -> None:
    """Check the files of TLS before the detector is loaded, which takes seconds.

    Parameters
    ----------
    settings : ServiceSettings
        The files; without any there is nothing to check.

    Raises
    ------
    InputError
        A file is missing, is no PEM file, has a password, or the two do not belong together.
    """
    if settings.tls_cert is None:
        return
    try:
        # Without a password here, OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_cert, settings.tls_key, password=""
        )
    except OSError as error:
        raise InputError(
            f"--tls-cert {settings.tls_cert} and --tls-key {settings.tls_key} cannot be used "
            f"({_reason(error)}); give PEM files of a certificate and of its own key, without a "
            "password"
        ) from error


def bind(settings: ServiceSettings) -> socket.socket:
    """Take the address of the service, without listening yet.

    Parameters
    ----------
    settings : ServiceSettings
        The address.

    Returns
    -------
    socket.socket
        A bound socket. Clients are refused until a server listens on it.

    Raises
    ------
    InputError
        The address is in use, or not one of this machine, or the host is no name.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:
        # UnicodeError: the name has an empty part, as "a..b" has, or one of more than 63 letters.
        raise InputError(
            f"--host {settings.host} --port {settings.port} cannot be listened on "
            f"({_reason(error)}); give another port or address"
        ) from error
    listener.set_inheritable(True)
    return listener


def _reason(error: Exception) -> str:
    """Write why the system refuses, without the number of the error."""
    return getattr(error, "strerror", None) or first_line(error)


def serve(settings: ServiceSettings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Load the detector and answer requests until a signal.

    Parameters
    ----------
    settings : ServiceSettings
        Everything that the command line decides.
    listener : socket.socket
        The bound socket.
    on_ready : callable
        Is called without arguments when requests are taken.

    Raises
    ------
    DeployError, InputError
        The files cannot be loaded.
    """
    predictor = _open_predictor(settings)
    # Photos are checked against the same limit again when they are decoded. Without it Pillow's own
    # would refuse larger ones.
    os.environ[LIMIT_VARIABLE] = str(settings.max_pixels)
    _warm_up(predictor, settings.max_pixels)
    counted = ServiceMetrics()
    service = DetectionService(predictor, settings, counted)
    config = uvicorn.Config(
        make_application(service),
        http=_connection_class(settings, counted),
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    server = DrainingServer(config, service, settings.grace, on_ready)
    # uvicorn repeats the signal after a clean end, when its own handlers are gone. By default it
    # would end the process with the status of a process that was killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    try:
        server.run(sockets=[listener])
    finally:
        service.close()


def address_text(settings: ServiceSettings, listener: socket.socket) -> str:
    """Write the address of the page.

    Parameters
    ----------
    settings : ServiceSettings
        The host, and whether there is TLS.
    listener : socket.socket
        The bound socket, which knows its port.

    Returns
    -------
    str
        For example ``"http://127.0.0.1:8000"``.
    """
    scheme = "http" if settings.tls_cert is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"


def _connection_class(settings: ServiceSettings, counted: ServiceMetrics) -> Type[TimedConnection]:
    """Make the class of connections with the service's time limit."""

    class Connection(TimedConnection):
        client_timeout = settings.client_timeout
        metrics = counted

    return Connection


def _open_predictor(settings: ServiceSettings) -> Predictor:
    """Open the exported files."""
    flags = argparse.Namespace(exported=settings.exported, gpus=settings.gpus, set=[])
    return open_detector(flags, settings.backend)


def _warm_up(predictor: Predictor, max_pixels: int) -> None:
    """Detect on a file once, so that the first client does not wait for buffers and plugins.

    Pillow takes the limit of pixels from its variable when the file is read.
    """
    height = min(WARM_UP_SIZE[0], math.isqrt(max_pixels))
    width = min(WARM_UP_SIZE[1], max_pixels // height)
    gray = Image.fromarray(np.full((height, width, 3), 127, np.uint8))
    encoded = io.BytesIO()
    gray.save(encoded, format="JPEG")
    predictor(encoded.getvalue())
