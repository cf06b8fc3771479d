"""What the service counts, for Prometheus."""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# The folder through which processes share their numbers. The package reads it when it is imported.
SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
METRICS_TYPE = CONTENT_TYPE_LATEST
# Seconds, from a small network on a photo to a large one behind a full queue.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
# Why the service ends a connection itself.
NO_HTTP = "no_http"
SLOW_REQUEST = "slow_request"
SLOW_READER = "slow_reader"
TOO_MANY = "too_many"


class ServiceMetrics:
    """The counters of a process.

    Parameters
    ----------
    registry : prometheus_client.CollectorRegistry
        Where they are registered; a name can be registered once.

    Attributes
    ----------
    requests : prometheus_client.Counter
        Answered requests by ``path`` and ``code``; 499 is a client that went away.
    ended_connections : prometheus_client.Counter
        Connections that the service ended outside of a request, by ``reason``: ``NO_HTTP``,
        ``SLOW_REQUEST``, ``SLOW_READER`` or ``TOO_MANY``.
    request_seconds : prometheus_client.Histogram
        Seconds from the head of a request for detections to its answer.
    network_seconds : prometheus_client.Histogram
        Seconds of the network on one batch.
    batch_size : prometheus_client.Histogram
        Photos of a batch.
    queue : prometheus_client.Gauge
        Photos that were accepted and not yet answered.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "gluonnorm_requests",
            "Requests by path and status; 499 is a client that went away.",
            ["path", "code"],
            registry=registry,
        )
        self.ended_connections = Counter(
            "gluonnorm_ended_connections",
            "Connections that the service ended because of their client, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in (NO_HTTP, SLOW_REQUEST, SLOW_READER, TOO_MANY):
            self.ended_connections.labels(reason)
        self.request_seconds = Histogram(
            "gluonnorm_request_seconds",
            "Time from the head of a request for detections to its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self.network_seconds = Histogram(
            "gluonnorm_network_seconds",
            "Time of the network on one batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "gluonnorm_batch_size",
            "Photos that the network saw at once.",
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self.queue = Gauge(
            "gluonnorm_queue_photos",
            "Photos that were accepted and not yet answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )


def metrics_text() -> bytes:
    """Write all numbers in Prometheus's format, those of all worker processes together.

    Returns
    -------
    bytes
        A text of the type ``METRICS_TYPE``.
    """
    if SHARED_FOLDER_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)
