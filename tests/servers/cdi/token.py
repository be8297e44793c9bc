"""CDI's upload tokens: JSON web tokens, signed as RFC 7518 says for PS256 (facts, A4)."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.servers.certificates import rsa_key

ISSUER = "cdi-apiserver"
SECONDS = 5 * 60
"""How long a token lives (apiserver.go:228-230)."""

LEEWAY = 10
"""Seconds by which the proxy's clock may differ (uploadproxy.go:48)."""

PVCS = {"group": "", "resource": "persistentvolumeclaims", "version": "v1"}

_PADDINGS: dict[str, padding.AsymmetricPadding] = {
    "PS256": padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH),
    "RS256": padding.PKCS1v15(),
}
"""The second is never issued, but taken: transcript ``cdi-proxy-bad-token``."""


class BadToken(Exception):
    """The token proves nothing."""


def claims(namespace: str, name: str, now: float) -> dict[str, Any]:
    """Return what a token for that PVC says (transcript ``cdi-virtctl``)."""
    return {
        "exp": int(now) + SECONDS,
        "iat": int(now),
        "iss": ISSUER,
        "name": name,
        "namespace": namespace,
        "nbf": int(now),
        "operation": "Upload",
        "resource": PVCS,
    }


def sign(
    claims: Mapping[str, Any], key: rsa.RSAPrivateKey | None = None, algorithm: str = "PS256"
) -> str:
    """Return the token; algorithm ``none`` leaves it unsigned."""
    key = key or rsa_key("cdi")
    signed = f"{_encode({'alg': algorithm})}.{_encode(claims)}"
    if algorithm == "none":
        return signed + "."
    return f"{signed}.{_base64(key.sign(signed.encode(), _PADDINGS[algorithm], SHA256()))}"


def verify(token: str, now: float) -> dict[str, Any]:
    """Return the claims of a token that holds at that time."""
    try:
        signed, _, signature = token.rpartition(".")
        header, _, body = signed.partition(".")
        form = _PADDINGS[_decode(header)["alg"]]
        public = rsa_key("cdi").public_key()
        public.verify(_bytes(signature), signed.encode(), form, SHA256())
        said: dict[str, Any] = _decode(body)
        early, late = said["nbf"] - LEEWAY, said["exp"] + LEEWAY
    except (ValueError, KeyError, TypeError, InvalidSignature) as exc:
        raise BadToken(str(exc)) from exc
    if said.get("iss") != ISSUER or not early <= now <= late:
        raise BadToken(f"from {said.get('iss')}, valid {early} to {late}, now {now}")
    return said


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encode(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _decode(text: str) -> Any:
    return json.loads(_bytes(text))
