"""What a client got from a server, step by step, as lines of JSON on standard output."""

import json
import sys
from dataclasses import asdict, is_dataclass
from enum import Enum
from urllib.parse import urlparse

import chromadb
import numpy
from chromadb.config import Settings


def endpoint():
    """Host and port of the server under test, from the command line."""
    url = urlparse(sys.argv[1])
    return {"host": url.hostname, "port": url.port}


def admin_client(where):
    return chromadb.AdminClient(
        Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=where["host"],
            chroma_server_http_port=where["port"],
        )
    )


def step(name, call):
    """Records what `call` returns, or the class and message of what it raises."""
    try:
        outcome = {"result": plain(call())}
    except Exception as error:
        outcome = failure(error)
    print(json.dumps({"step": name, **outcome}))


async def async_step(name, call):
    """As `step`, for a function that returns an awaitable."""
    try:
        outcome = {"result": plain(await call())}
    except Exception as error:
        outcome = failure(error)
    print(json.dumps({"step": name, **outcome}))


def failure(error):
    return {"error": type(error).__name__, "message": str(error)}


def shown(collection):
    """What a collection says of itself."""
    configuration = dict(collection.configuration)
    configuration.pop("embedding_function", None)
    return {
        "id": str(collection.id),
        "name": collection.name,
        "metadata": collection.metadata,
        "configuration": configuration,
        "tenant": collection.tenant,
        "database": collection.database,
    }


def plain(value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if is_dataclass(value):
        return plain(asdict(value))
    return repr(value)


def fake_embedding(text):
    """A vector that needs no model: equal texts have equal ones, others hardly ever the same distance."""
    vector = [0.0] * 8
    for index, letter in enumerate(text):
        vector[(ord(letter) + index) % 8] += 1 + ord(letter) / 131 + index / 97
    return vector
