"""Answer HTTP requests for detections with an exported network.

Example: the page is at http://127.0.0.1:8000, and programs send photos to /v1/detect

    python scripts/serve.py --exported out/blood --port 8000
    curl -F file=@photo.jpg http://127.0.0.1:8000/v1/detect

docs/serving.md describes every answer.
"""

import argparse
import math
import os
from typing import Any

from gluonnorm.deploy.backends.choice import RUN_TIMES
from gluonnorm.errors import InputError
from gluonnorm.late_import import import_late

from _cli import add_plugin_argument, add_seed_argument, flag_of, run, seed_everything
from _gpus import refuse_several_gpus
from _script_parser import ScriptParser
from service.settings import MEGABYTE, ServiceSettings

DEFAULTS = ServiceSettings(exported="")
KEY_VARIABLE = "GLUONNORM_API_KEY"
LAST_PORT = 65535


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "--exported", required=True, metavar="PREFIX", help="the exported files PREFIX*"
    )
    parser.add_argument(
        "--backend",
        choices=list(RUN_TIMES),
        help="what runs the files (default: the first of these that is installed and has them)",
    )
    parser.add_argument(
        "--gpus", default="", help="one, e.g. 0, not in OpenVINO (default: the CPU)"
    )
    parser.add_argument(
        "--host",
        default=DEFAULTS.host,
        help="address to listen on; 0.0.0.0 for all of the machine (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=DEFAULTS.port, help="(default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        default=DEFAULTS.workers,
        metavar="N",
        help="processes, which share the cores; each has the network (default: %(default)s)",
    )
    add_limits(parser)
    parser.add_argument(
        "--api-key",
        default=os.environ.get(KEY_VARIABLE),
        metavar="KEY",
        help="clients must send 'Authorization: Bearer KEY'. Other users of the machine can read a "
        f"command line, but not the variable {KEY_VARIABLE} (default: its value, or no key)",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="PEM file of a certificate, for HTTPS")
    parser.add_argument("--tls-key", metavar="FILE", help="PEM file of its private key")
    add_seed_argument(parser, "random choices, which only parts of a --plugin make")
    add_plugin_argument(parser)
    return parser.parse_args()


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the flags of limits.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's parser.
    """
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--batch-size",
        type=int,
        default=DEFAULTS.batch_size,
        metavar="B",
        help="the most photos that the network sees at once, of one size (default: %(default)s)",
    )
    group.add_argument(
        "--queue",
        type=int,
        default=DEFAULTS.queue,
        metavar="N",
        help="the most photos that wait, a process; more get the status 503 (default: %(default)s)",
    )
    group.add_argument(
        "--max-images",
        type=int,
        metavar="N",
        help=f"the most photos of one request (default: {DEFAULTS.max_images}, or the queue's if "
        "those are fewer)",
    )
    group.add_argument(
        "--max-body",
        type=float,
        default=DEFAULTS.max_body / MEGABYTE,
        metavar="MB",
        help="the longest body of a request (default: %(default)g)",
    )
    group.add_argument(
        "--max-pixels",
        type=float,
        default=DEFAULTS.max_pixels / 1e6,
        metavar="MILLIONS",
        help="the most pixels of a photo; reading takes 10 bytes for each (default: %(default)g)",
    )
    group.add_argument(
        "--client-timeout",
        type=float,
        default=DEFAULTS.client_timeout,
        metavar="SECONDS",
        help="for the head of a request, its body, and taking the answer (default: %(default)g)",
    )
    group.add_argument(
        "--grace",
        type=float,
        default=DEFAULTS.grace,
        metavar="SECONDS",
        help="after SIGTERM, go on listening this long, while /readyz says 503, so that load "
        "balancers notice (default: %(default)g)",
    )


def main(args: argparse.Namespace) -> None:
    """Serve until a signal.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    seed_everything(args.seed)
    settings = read_settings(args)
    server = _import_service("service.server")
    server.check_certificate(settings)
    listener = server.bind(settings)
    address = server.address_text(settings, listener)

    def announce() -> None:
        """Tell where the service is, once it answers."""
        print(f"serving {args.exported} at {address}", flush=True)

    if settings.workers == 1:
        server.serve(settings, listener, on_ready=announce)
    else:
        _import_service("service.workers").WorkerGroup(settings, listener).run(announce)


def read_settings(args: argparse.Namespace) -> ServiceSettings:
    """Check the flags.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Returns
    -------
    ServiceSettings
        The settings.

    Raises
    ------
    InputError
        A number is not positive or not finite, flags are missing, or there are several GPUs.
    """
    if args.max_images is None:
        args.max_images = min(DEFAULTS.max_images, args.queue)
    for name in ("workers", "batch_size", "queue", "max_images", "max_body", "max_pixels"):
        if not 0 < getattr(args, name) < math.inf:
            raise InputError(
                f"{flag_of(name)} is {getattr(args, name)}; want a finite number, more than 0"
            )
    if args.max_images > args.queue:
        raise InputError(
            f"--max-images is {args.max_images} and --queue is {args.queue}; want no more photos "
            "of one request than may wait"
        )
    refuse_several_gpus(args.gpus)
    # The system would take a larger one without its highest bits.
    if not 0 <= args.port <= LAST_PORT:
        raise InputError(f"--port is {args.port}; want 0 to {LAST_PORT}, where 0 is any free one")
    if not 0 < args.client_timeout < math.inf or not 0 <= args.grace < math.inf:
        raise InputError(
            f"--client-timeout is {args.client_timeout:g} and --grace is {args.grace:g}; want "
            "finite numbers of seconds, more than 0 and at least 0"
        )
    if args.api_key is not None:
        # The line of a file may have ended up in the variable with its end.
        args.api_key = args.api_key.strip()
        if not (args.api_key and args.api_key.isascii() and args.api_key.isprintable()):
            raise InputError(
                f"--api-key or {KEY_VARIABLE} is empty or has letters that no header can hold; "
                "give a key of ASCII letters and digits, or leave it out"
            )
    if (args.tls_cert is None) != (args.tls_key is None):
        raise InputError("--tls-cert and --tls-key belong together; give both or none")
    values = {name: value for name, value in vars(args).items() if name in DEFAULTS._fields}
    values["max_body"] = int(args.max_body * MEGABYTE)
    values["max_pixels"] = int(args.max_pixels * 1e6)
    for name, unit in (("max_body", "byte"), ("max_pixels", "pixel")):
        if values[name] < 1:
            raise InputError(
                f"{flag_of(name)} is {getattr(args, name):g}, less than a {unit}; want more"
            )
    return ServiceSettings(**values)


def _import_service(module: str) -> Any:
    """Import a module of the service, whose packages are an extra."""
    return import_late(
        module,
        InputError,
        "scripts/serve.py needs packages for HTTP",
        "install them with pip install 'gluonnorm[serve]'",
    )


if __name__ == "__main__":
    run(main, parse_args())
