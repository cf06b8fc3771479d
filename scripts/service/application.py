"""The routes of the service, and the order of work on a request."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Awaitable, Callable, List, Optional

from gluonnorm.class_colors import class_colors
from gluonnorm.deploy.photo_reader import NamedPhoto
from gluonnorm.deploy.predictor import PhotoOutputs, Predictor
from gluonnorm.errors import did_you_mean
from gluonnorm.photos.files import ImageError
from service.answers import DRAWN_SCORE, json_answer, png_answer
from service.api_description import DETECT_BODY, DETECT_RESPONSES, SUMMARY
from service.byte_budget import ByteBudget
from service.gate import Gate
from service.held_answer import HeldAnswer
from service.media_types import JSON_TYPE, PNG_TYPE, accepted_type
from service.metrics import METRICS_TYPE, ServiceMetrics, metrics_text
from service.model_thread import ModelThread, QueueFull
from service.multipart_form import Upload
from service.photo_header import open_upload
from service.refusal import Refusal, error_response
from service.settings import MEGABYTE, ServiceSettings
from service.uploads import BODIES_IN_MEMORY, Body

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response

PAGE = Path(__file__).with_name("page.html")
# Reading a photo takes about 10 bytes a pixel, so only a few are read at once.
PHOTO_THREADS = 2
ANSWERS_IN_MEMORY = 256 * MEGABYTE  # that clients have not taken yet
CLIENT_GONE = 499  # what nginx logs for a client that closed its connection
DETECT_PATH = "/v1/detect"
PARAMETERS = ("score_thresh",)  # of its address
PROTECTED = (DETECT_PATH, "/metrics")
# The page may load nothing from outside, and no other page may show it in a frame.
PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; media-src blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class DetectionService:
    """What the routes share: the detector, its thread, and the limits.

    Parameters
    ----------
    predictor : Predictor
        The detector.
    settings : ServiceSettings
        The limits.
    metrics : ServiceMetrics
        Counts everything.

    Attributes
    ----------
    is_draining : bool
        Whether the process is about to end, and asks load balancers for no more requests.
    is_closing : bool
        Whether it refuses new requests for detections.
    num_requests : int
        Requests for detections that were not answered yet.
    classes : tuple of str
        The name of each class id.
    """

    def __init__(
        self, predictor: Predictor, settings: ServiceSettings, metrics: ServiceMetrics
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.is_draining = False
        self.is_closing = False
        self.num_requests = 0
        self.classes = predictor.classes
        self._predictor = predictor
        self._body_budget = ByteBudget(
            BODIES_IN_MEMORY * settings.max_body, "too many uploads at once"
        )
        self._answer_budget = ByteBudget(
            ANSWERS_IN_MEMORY, "too many answers wait for their clients"
        )
        self._model = ModelThread(predictor, settings.batch_size, settings.queue, metrics)
        self._photo_threads = ThreadPoolExecutor(PHOTO_THREADS, "photo")

    def is_alive(self) -> bool:
        """Tell whether the network can run.

        Returns
        -------
        bool
            False if the model's thread has ended.
        """
        return self._model.is_alive()

    def close(self) -> None:
        """End all threads, after the work that they have."""
        self._model.close()
        self._photo_threads.shutdown()

    async def detect(self, request: Request, score_thresh: Optional[float]) -> Response:
        """Answer a request for detections.

        Parameters
        ----------
        request : fastapi.Request
            The request, whose body was not read yet.
        score_thresh : float or None
            The lowest score of the answer; None for the default of the answer's type.

        Returns
        -------
        starlette.responses.Response
            Detections as JSON or as a picture.

        Raises
        ------
        Refusal
            The request cannot be answered.
        """
        if self.is_closing:
            raise Refusal(
                503, "the service is about to end; try again in 1 s", {"Retry-After": "1"}
            )
        names = [name for name, _ in request.query_params.multi_items()]
        for name in names:
            if name not in PARAMETERS:
                hint = did_you_mean(name, PARAMETERS)
                raise Refusal(400, f"there is no parameter {name[:60]!r}{hint}")
            if names.count(name) > 1:
                raise Refusal(400, f"{name} is in the address more than once; give one value")
        self.num_requests += 1
        start_time = time.perf_counter()
        body = Body(request, self.settings, self._body_budget)
        try:
            media_type = accepted_type(",".join(request.headers.getlist("accept")))
            # Before the body is read, which would be for nothing.
            self._take_places(0)
            uploads = await body.read_uploads()
            answer = self._answer(uploads, media_type, score_thresh)
            content = await _unless_client_leaves(request, answer)
            return HeldAnswer(content, media_type, self._answer_budget)
        finally:
            body.release()
            self.num_requests -= 1
            self.metrics.request_seconds.observe(time.perf_counter() - start_time)

    async def _answer(
        self, uploads: List[Upload], media_type: str, score_thresh: Optional[float]
    ) -> bytes:
        """Run the network on the photos of a request, and write the answer."""
        if media_type == PNG_TYPE and len(uploads) > 1:
            raise Refusal(
                406, f"a picture shows one photo, not {len(uploads)}; ask for {JSON_TYPE}"
            )
        self._take_places(len(uploads))
        try:
            photos_outputs = await self._run(uploads)
            if media_type == PNG_TYPE:
                threshold = DRAWN_SCORE if score_thresh is None else score_thresh
                return await self._on_photo_thread(
                    png_answer,
                    self._predictor,
                    open_upload(uploads[0], self.settings.max_pixels),
                    photos_outputs[0],
                    threshold,
                )
            names = [upload.name for upload in uploads]
            return await self._on_photo_thread(
                json_answer, self._predictor, names, photos_outputs, score_thresh or 0.0
            )
        except ImageError as error:
            raise Refusal(400, str(error)) from error
        finally:
            self._model.give_places_back(len(uploads))

    async def _run(self, uploads: List[Upload]) -> List[PhotoOutputs]:
        """Run the network on the photos of a request."""
        jobs: List[asyncio.Future[PhotoOutputs]] = []
        try:
            for upload in uploads:
                photo = await self._on_photo_thread(self._read, upload)
                jobs.append(asyncio.wrap_future(self._model.submit(photo)))
            return list(await asyncio.gather(*jobs))
        finally:
            # Those that are left after an error, or when the client has gone.
            for job in jobs:
                job.cancel()

    def _take_places(self, count: int) -> None:
        """Take places in the queue, or refuse the request."""
        try:
            self._model.take_places(count)
        except QueueFull as full:
            raise Refusal(
                503,
                f"the service is busy; try again in {full.seconds} s",
                {"Retry-After": str(full.seconds)},
            ) from None

    def _read(self, upload: Upload) -> NamedPhoto:
        """Decode and prepare a photo."""
        image = open_upload(upload, self.settings.max_pixels)
        return self._predictor.read(image, name=f"{upload.name}: ")

    async def _on_photo_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function on one of the threads for photos."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._photo_threads, function, *arguments)


async def _unless_client_leaves(request: Request, answer: Awaitable[bytes]) -> bytes:
    """Wait for an answer, and stop the work for it when the client goes away."""
    work = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_client_leaves(request))
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
            raise ClientDisconnect
        return work.result()
    finally:
        leaving.cancel()
        work.cancel()


async def _client_leaves(request: Request) -> None:
    """Wait until the client has closed its connection. Its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make_application(service: DetectionService) -> FastAPI:
    """Make the ASGI application.

    Parameters
    ----------
    service : DetectionService
        What the routes share.

    Returns
    -------
    fastapi.FastAPI
        The application.
    """
    # FastAPI's own pages of documentation load their scripts from another server.
    application = FastAPI(
        title="gluonnorm",
        description=SUMMARY,
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_error_answers(application)

    @application.post(
        DETECT_PATH,
        summary="Detect objects on photos",
        response_class=JSONResponse,
        responses=DETECT_RESPONSES,
        openapi_extra=DETECT_BODY,
    )
    async def detect(
        request: Request,
        score_thresh: Optional[float] = Query(
            None,
            ge=0,
            le=1,
            description="The lowest score of the answer. JSON has all detections by default, a "
            f"picture those of at least {DRAWN_SCORE}.",
            examples=[0.5],
        ),
    ) -> Response:
        return await service.detect(request, score_thresh)

    _add_status_routes(application, service)

    application.add_middleware(
        Gate,
        settings=service.settings,
        protected=PROTECTED,
        known={getattr(route, "path", "") for route in application.routes},
        metrics=service.metrics,
        is_draining=lambda: service.is_draining,
    )
    # FastAPI describes its own answer to wrong values, which the service does not give.
    application.openapi()["paths"][DETECT_PATH]["post"]["responses"].pop("422", None)
    return application


def _add_status_routes(application: FastAPI, service: DetectionService) -> None:
    """Add the routes for load balancers, for Prometheus, and the page."""
    colors = json.dumps(class_colors(service.classes))
    page = PAGE.read_text(encoding="utf-8").replace("CLASS_COLORS", colors)

    @application.get("/healthz", summary="Whether the process works")
    async def healthz() -> Response:
        if not service.is_alive():
            return error_response(503, "the thread of the network has ended")
        return JSONResponse({"status": "ok"})

    @application.get("/readyz", summary="Whether a load balancer may send requests")
    async def readyz() -> Response:
        if service.is_draining or not service.is_alive():
            return error_response(503, "the service is about to end")
        return JSONResponse({"status": "ready"})

    @application.get("/metrics", summary="Numbers for Prometheus")
    async def metrics() -> Response:
        return Response(metrics_text(), headers={"Content-Type": METRICS_TYPE})

    @application.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


def _add_error_answers(application: FastAPI) -> None:
    """Answer every error with one sentence, and without a word about the server's code."""

    @application.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return error_response(error.status, error.sentence, error.headers)

    @application.exception_handler(ClientDisconnect)
    async def left(request: Request, error: ClientDisconnect) -> Response:
        # Nobody reads this answer. Its status is counted.
        return error_response(CLIENT_GONE, "the client closed the connection")

    @application.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        # request.url fails on some headers Host.
        path = request.scope["path"]
        headers = dict(getattr(error, "headers", None) or {})
        sentence = f"{request.method} {path[:80]}: {str(error.detail).lower()}"
        if "Allow" in headers:
            sentence += f"; this address takes {headers['Allow']}"
        return error_response(error.status_code, sentence, headers)

    @application.exception_handler(RequestValidationError)
    async def wrong_value(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return error_response(400, f"{first['loc'][-1]}: {first['msg'].lower()}")

    @application.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return error_response(500, "the service failed on this request; its log says why")
