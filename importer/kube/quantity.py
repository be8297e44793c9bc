"""Sizes as Kubernetes writes them: ``10Gi``, ``1.5G``, ``2e9``, ``1073741824``.

Grammar: apimachinery's ``resource.Quantity``. Bytes; what is smaller than one byte is rounded up.
Going the other way, `str(size)` is exact and always allowed.
"""

import re
from decimal import ROUND_CEILING, Decimal

_NUMBER = re.compile(
    r"([+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE]([+-]?[0-9]{1,2})|([a-zA-Z]{0,2}))"
)
_UNITS = {
    "": Decimal(1),
    **{f"{letter}i": Decimal(1 << 10 * n) for n, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000**n) for n, letter in enumerate("kMGTPE", 1)},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}


def parse(text: str) -> int:
    """Return bytes. Raises ValueError for what is no quantity."""
    found = _NUMBER.fullmatch(text.strip())
    unit = _UNITS.get(found[3] or "") if found else None
    if found is None or unit is None:
        raise ValueError(f"{text!r} is no quantity")
    number = Decimal(found[1]) * Decimal(10) ** int(found[2] or 0) * unit
    return int(number.to_integral_value(ROUND_CEILING))
