"""Which ways of copying each engine has, and why each can fail: what bounds the series."""

from importer.copies.reading import REASONS
from importer.model import Strategy

OWN_REASONS = ("caller", "source", "image", "target", "internal")
"""Why an import of ours can fail: whose fault it was (errors.py)."""

_ANY: tuple[Strategy, ...] = ("import", "cdi-import", "host-assisted", "snapshot", "csi-clone")


def strategies(engine: str) -> tuple[Strategy, ...]:
    """Return the ways in which volumes of *engine* get their bytes."""
    if engine == "local":
        return ("import",)
    if engine == "longhorn-v1":
        return (*_ANY, "full-copy")
    return (*_ANY, "full-copy", "linked-clone") if engine == "longhorn-v2" else _ANY


def reasons(strategy: str) -> tuple[str, ...]:
    """Return why copies of *strategy* can fail."""
    return OWN_REASONS if strategy == "import" else REASONS
