"""TokenReview and the access reviews: who a token is, and what somebody may do."""

from collections.abc import Mapping
from typing import Any

from tests.servers.kubernetes.access import Call, User


def token_review(users: Mapping[str, User], review: dict[str, Any]) -> dict[str, Any]:
    """Return *review* with its answer."""
    user = users.get(review["spec"].get("token", ""))
    if user is None:
        status: dict[str, Any] = {"user": {}, "error": "[invalid bearer token]"}
    else:
        who = {"username": user.name, "uid": user.name, "groups": list(user.groups)}
        status = {"authenticated": True, "user": who, "audiences": ["https://kubernetes.default"]}
    return {**review, "status": status}


def access_review(
    users: Mapping[str, User], review: dict[str, Any], caller: User | None = None
) -> dict[str, Any]:
    """Return *review* with its answer; about *caller*, or about the user that it names."""
    spec = review["spec"]
    asked = spec.get("resourceAttributes", {})
    named = {user.name: user for user in users.values()}
    user = caller or named.get(spec.get("user", ""))
    call = Call(
        *(asked.get(key, "") for key in ("verb", "group", "resource", "subresource")),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )
    return {**review, "status": {"allowed": user is not None and user.may(call)}}
