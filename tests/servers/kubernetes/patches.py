"""Merge patch (RFC 7386) and JSON patch (RFC 6902)."""

import copy
from typing import Any

from tests.servers.kubernetes.refusals import Refused, bad_request


def merged(target: Any, patch: Any) -> Any:
    """Return *target* with *patch* merged into it; null removes."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def patched(target: Any, steps: Any) -> Any:
    """Return *target* after the JSON patch *steps*."""
    if not isinstance(steps, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    result = copy.deepcopy(target)
    for step in steps:
        result = _step(result, step)
    return result


def _step(root: Any, step: dict[str, Any]) -> Any:
    match step:
        case {"op": "test", "path": path, "value": value}:
            if _get(root, path) != value:
                raise _failed(f"testing path {path} value failed")
        case {"op": "add" | "replace" as op, "path": path, "value": value}:
            if path == "":
                return copy.deepcopy(value)
            _put(root, path, copy.deepcopy(value), replace=op == "replace")
        case {"op": "remove", "path": path}:
            _remove(root, path)
        case {"op": "copy" | "move" as op, "from": source, "path": path}:
            value = copy.deepcopy(_get(root, source))
            if op == "move":
                _remove(root, source)
            _put(root, path, value, replace=False)
        case _:
            raise bad_request(f"unexpected JSON patch step: {step}")
    return root


def _failed(why: str) -> Refused:
    return Refused(422, "Invalid", f"the server rejected our request due to an error: {why}")


def _keys(path: str) -> list[str]:
    return [key.replace("~1", "/").replace("~0", "~") for key in path.split("/")[1:]]


def _get(root: Any, path: str) -> Any:
    at = root
    for key in _keys(path):
        try:
            at = at[int(key)] if isinstance(at, list) else at[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _failed(f"path {path} does not exist") from None
    return at


def _holder(root: Any, path: str) -> tuple[Any, str]:
    *way, last = _keys(path)
    return _get(root, "".join(f"/{key.replace('~', '~0').replace('/', '~1')}" for key in way)), last


def _put(root: Any, path: str, value: Any, *, replace: bool) -> None:
    holder, last = _holder(root, path)
    if replace:
        _get(root, path)
    if not isinstance(holder, list):
        holder[last] = value
    elif replace:
        holder[int(last)] = value
    else:
        holder.insert(len(holder) if last == "-" else int(last), value)


def _remove(root: Any, path: str) -> None:
    _get(root, path)
    holder, last = _holder(root, path)
    del holder[int(last) if isinstance(holder, list) else last]
