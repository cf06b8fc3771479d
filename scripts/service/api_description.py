"""What OpenAPI says of the detections: bodies, answers and examples."""

from typing import Any, Dict, Union

from service.media_types import JSON_TYPE, PNG_TYPE

SUMMARY = (
    "Detects objects on photos. Boxes are x1, y1, x2, y2 in the photo's own pixels. Every error "
    "is JSON with one sentence in `error`."
)
EXAMPLE: Dict[str, Any] = {
    "classes": ["RBC", "WBC", "Platelets"],
    "inclusive": False,
    "images": [
        {
            "file": "photo.jpg",
            "height": 480,
            "width": 640,
            "detections": [
                {
                    "class": "WBC",
                    "id": 1,
                    "score": 0.98,
                    "box": [260.5, 177.0, 491.2, 376.4],
                    "mask": {"size": [480, 640], "counts": "PZe31n>"},
                }
            ],
        }
    ],
}
_BINARY = {"type": "string", "format": "binary"}
_DETECTION = {
    "type": "object",
    "required": ["class", "id", "score", "box"],
    "properties": {
        "class": {"type": "string"},
        "id": {"type": "integer", "minimum": 0, "description": "Index into classes."},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "box": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "x1, y1, x2, y2 in pixels.",
        },
        "mask": {
            "type": "object",
            "description": "COCO's run lengths, from networks with masks.",
            "properties": {
                "size": {"type": "array", "items": {"type": "integer"}},
                "counts": {"type": "string"},
            },
        },
    },
}
_IMAGE = {
    "type": "object",
    "required": ["file", "height", "width", "detections"],
    "properties": {
        "file": {"type": "string", "description": "The name that the client sent."},
        "height": {"type": "integer"},
        "width": {"type": "integer"},
        "detections": {"type": "array", "items": _DETECTION, "description": "Best first."},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["classes", "inclusive", "images"],
    "properties": {
        "classes": {"type": "array", "items": {"type": "string"}},
        "inclusive": {
            "type": "boolean",
            "description": "True: x2 and y2 are the last pixel of a box.",
        },
        "images": {"type": "array", "items": _IMAGE, "description": "In the order of the files."},
    },
}
DETECT_BODY: Dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "array", "items": _BINARY}},
                }
            },
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
        },
    }
}


def _error(description: str, sentence: str) -> Dict[str, Any]:
    """Describe an answer that is an error."""
    schema = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    }
    content = {JSON_TYPE: {"schema": schema, "example": {"error": sentence}}}
    return {"description": description, "content": content}


DETECT_RESPONSES: Dict[Union[int, str], Dict[str, Any]] = {
    200: {
        "description": "The detections, or a picture of them if the client accepts image/png.",
        "content": {
            JSON_TYPE: {"schema": _ANSWER, "example": EXAMPLE},
            PNG_TYPE: {"schema": _BINARY},
        },
    },
    400: _error(
        "A damaged image, no form, or an unknown parameter.",
        "photo.jpg is a damaged image; send it again",
    ),
    401: _error("No API key, or a wrong one.", "the API key is missing or wrong"),
    406: _error("Neither JSON nor PNG is accepted.", "the answer is application/json or image/png"),
    408: _error("The body came too slowly.", "the body did not arrive within 20 s"),
    413: _error("Too many bytes, pixels or files.", "the body is longer than 20 MB"),
    415: _error("No image.", "photo.txt is no image of a known format"),
    500: _error("A fault of the service.", "the service failed on this request"),
    503: _error(
        "The queue is full; Retry-After tells how many seconds to wait.",
        "the service is busy; try again in 3 s",
    ),
}
