"""Errors as answers: ``{"error": {slug, side, retryable, message}}`` with the error's status."""

from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiohttp import web

from importer.errors import CallerError, ImporterError, NotFound
from importer.jobs.timeline import problem_of
from importer.model import Problem

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Failure(msgspec.Struct, frozen=True):
    """The body of every answer that is no success."""

    error: Problem


def answer(error: ImporterError) -> web.Response:
    """Return *error* as an answer."""
    return web.json_response(
        body=msgspec.json.encode(Failure(problem_of(error))), status=error.status
    )


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer."""
    try:
        return await handler(request)
    except ImporterError as exc:
        return answer(exc)
    except web.HTTPNotFound:
        return answer(NotFound(f"nothing is at {request.path}"))
    except web.HTTPMethodNotAllowed as exc:
        response = answer(CallerError(f"{request.method} is not possible at {request.path}"))
        response.set_status(exc.status)
        response.headers["Allow"] = ", ".join(sorted(exc.allowed_methods))
        return response
    except web.HTTPRequestEntityTooLarge:
        return answer(CallerError("the JSON body is too large"))
    except web.HTTPException:
        raise
    except Exception as exc:
        if isinstance(exc, ConnectionResetError) and _has_left(request):
            raise  # it could not be answered
        log.exception("a request broke", method=request.method, path=request.path)
        return answer(ImporterError(f"{type(exc).__name__}; the service's log says more"))


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
