"""Which ways of copying each engine has, and why each can fail: what bounds the series."""

from collections.abc import Mapping

from importer.model import Strategy

STRATEGIES: Mapping[str, Strategy] = {
    "copy": "host-assisted",
    "snapshot": "snapshot",
    "csi-clone": "csi-clone",
}
"""CDI's names for its ways to clone → ours."""

REASONS = ("clone-error", "volume-failed", "claim-lost", "no-space", "source-missing")
"""Why a copy that others make can fail."""

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
