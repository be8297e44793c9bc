"""Logs: readable on a terminal, JSON lines otherwise; secrets never."""

import logging
from typing import TextIO

import structlog

from importer.config import Log
from importer.errors import CallerError

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def set_up_logs(settings: Log, stream: TextIO) -> None:
    """Send logs to *stream* as *settings* say. Raises CallerError."""
    if settings.level not in _LEVELS or settings.format not in ("auto", "text", "json"):
        raise CallerError(f"[log] level={settings.level!r} format={settings.format!r} is unknown")
    text = settings.format == "text" or (settings.format == "auto" and stream.isatty())
    # Plain tracebacks: the pretty ones print local variables, and a URL's password is one.
    plain = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    last: list[structlog.typing.Processor] = (
        [plain]
        if text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, force=True)
