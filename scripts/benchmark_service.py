"""Measure how many photos a second the HTTP service answers, beside Predictor.stream.

Example: ten rounds with the photos of a folder

    python scripts/benchmark_service.py photos --exported out/blood

Both have the same files, run time, batch size and threads, and take the same photos as the bytes of
their files. The service is a process of its own. The two take turns, so that both see the same
machine, and the clients are threads of this process: a share of the cores that goes to clients is
lost to the service.
"""

import argparse
import http.client
import re
import statistics
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Deque, Iterator, List, Optional, Sequence

from gluonnorm.deploy import Predictor
from gluonnorm.deploy.backends.choice import RUN_TIMES
from gluonnorm.errors import InputError

from _cli import add_plugin_argument, add_seed_argument, flag_of, run, seed_everything
from _photos import list_photos
from _script_parser import ScriptParser

SERVE = Path(__file__).with_name("serve.py")
PHOTO_HEADERS = {"Content-Type": "application/octet-stream"}


def parse_args() -> argparse.Namespace:
    """Read the command line.

    Returns
    -------
    argparse.Namespace
        The value of every flag.
    """
    parser = ScriptParser(__doc__)
    parser.add_argument("photos", nargs="+", metavar="PATH", help="image files and folders")
    parser.add_argument(
        "--exported", required=True, metavar="PREFIX", help="the exported files PREFIX*"
    )
    parser.add_argument("--backend", choices=list(RUN_TIMES), help="what runs the files")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=1,
        metavar="B",
        help="the most photos that the network sees at once (default: %(default)s)",
    )
    parser.add_argument(
        "--clients",
        type=int,
        default=4,
        metavar="N",
        help="how many send photos at the same time (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=10,
        metavar="N",
        help="how often both take all photos (default: %(default)s)",
    )
    add_seed_argument(parser, "random choices, which only parts of a --plugin make")
    add_plugin_argument(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Measure both in turns, and print the medians.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.
    """
    for name in ("batch_size", "clients", "rounds"):
        if getattr(args, name) < 1:
            raise InputError(f"{flag_of(name)} is {getattr(args, name)}; want at least 1")
    seed_everything(args.seed)
    contents = [path.read_bytes() for path in list_photos(args.photos)]
    predictor = Predictor(args.exported, batch_size=args.batch_size, backend=args.backend)
    stream_paces: List[float] = []
    service_paces: List[float] = []
    with running_service(args) as port:
        # The first round of both fills caches.
        for number in range(args.rounds + 1):
            stream_seconds = time_stream(predictor, contents)
            service_seconds = time_service(port, contents, args.clients)
            if number > 0:
                stream_paces.append(len(contents) / stream_seconds)
                service_paces.append(len(contents) / service_seconds)
    ratios = [service / stream for service, stream in zip(service_paces, stream_paces)]
    print(f"photos {len(contents)}, rounds {args.rounds}, clients {args.clients}")
    print(f"Predictor.stream  {statistics.median(stream_paces):8.2f} photos/s")
    print(f"the service       {statistics.median(service_paces):8.2f} photos/s")
    print(
        f"median of ratios  {statistics.median(ratios):8.3f}, "
        f"from {min(ratios):.3f} to {max(ratios):.3f}"
    )


@contextmanager
def running_service(args: argparse.Namespace) -> Iterator[int]:
    """Run the service in a process of its own.

    Parameters
    ----------
    args : argparse.Namespace
        What ``parse_args`` returns.

    Yields
    ------
    int
        The port on which it listens.

    Raises
    ------
    InputError
        It does not start; its last line says why.
    """
    command = [sys.executable, str(SERVE), "--exported", args.exported, "--port", "0"]
    command += ["--batch-size", str(args.batch_size), "--queue", str(args.clients)]
    command += ["--seed", str(args.seed)]
    if args.backend is not None:
        command += ["--backend", args.backend]
    for module in args.plugin:
        command += ["--plugin", module]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield wait_for_port(process)
        finally:
            process.terminate()
            process.wait()


def wait_for_port(process: "subprocess.Popen[str]") -> int:
    """Read what the service prints until it tells its port, and the rest on a thread.

    Parameters
    ----------
    process : subprocess.Popen
        The process of the service.

    Returns
    -------
    int
        The port.

    Raises
    ------
    InputError
        The process ends before.
    """
    assert process.stdout is not None
    line = ""
    for line in process.stdout:
        match: Optional[re.Match[str]] = re.match(r"serving .*:(\d+)$", line)
        if match:
            # A full pipe would stop the service.
            ThreadPoolExecutor(1).submit(process.stdout.read)
            return int(match.group(1))
    raise InputError(f"scripts/serve.py does not start: {line.strip()}")


def time_stream(predictor: Predictor, contents: Sequence[bytes]) -> float:
    """Measure ``Predictor.stream``.

    Parameters
    ----------
    predictor : Predictor
        The detector.
    contents : sequence of bytes
        The files of the photos.

    Returns
    -------
    float
        Seconds for all photos.
    """
    start_time = time.perf_counter()
    for _ in predictor.stream(contents):
        pass
    return time.perf_counter() - start_time


def time_service(port: int, contents: Sequence[bytes], num_clients: int) -> float:
    """Measure the service; each client has a connection, and sends one photo after the other.

    Parameters
    ----------
    port : int
        Where the service listens.
    contents : sequence of bytes
        The files of the photos.
    num_clients : int
        How many clients there are.

    Returns
    -------
    float
        Seconds until the last answer.

    Raises
    ------
    InputError
        An answer is an error.
    """
    start_time = time.perf_counter()
    waiting = deque(contents)
    with ThreadPoolExecutor(num_clients) as threads:
        clients = [threads.submit(send_photos, port, waiting) for _ in range(num_clients)]
        for client in clients:
            client.result()
    return time.perf_counter() - start_time


def send_photos(port: int, waiting: Deque[bytes]) -> None:
    """Send photos over one connection until none is left, and read the answers.

    Parameters
    ----------
    port : int
        Where the service listens.
    waiting : collections.deque of bytes
        The files of the photos that no client has sent yet.

    Raises
    ------
    InputError
        An answer is an error.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        try:
            content = waiting.popleft()
        except IndexError:
            break
        connection.request("POST", "/v1/detect", content, PHOTO_HEADERS)
        response = connection.getresponse()
        answer = response.read()
        if response.status != http.client.OK:
            raise InputError(f"the service answers {response.status}: {answer.decode()}")
    connection.close()


if __name__ == "__main__":
    run(main, parse_args())
