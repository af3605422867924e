"""Signatures of webhook deliveries, as the Standard Webhooks specification has them: HMAC-SHA256. Pure but for time."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from hashlib import sha256

from tallystick.errors import ValueRejected

TOLERANCE_S = 300
_PREFIX = "whsec_"


def signed_headers(secret: str, delivery: str, at: int, body: bytes) -> dict[str, str]:
    """Headers of a delivery. ``at`` is in seconds since the epoch."""
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(at),
        "webhook-signature": "v1," + _signature(secret, delivery, at, body),
    }


def check_signature(secret: str, headers: Mapping[str, str], body: bytes, now: int) -> None:
    """For receivers: raise ValueRejected unless ``body`` was signed with ``secret`` within the last five minutes.

    Header names are taken in lower case. Receivers should also remember ``webhook-id``: a delivery may come twice.
    """
    delivery, stated = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not delivery or not stated.isdecimal():
        raise ValueRejected("this is no signed delivery: webhook-id or webhook-timestamp is missing")
    at = int(stated)
    if abs(now - at) > TOLERANCE_S:
        raise ValueRejected("the delivery was signed too long ago", hint="check the clocks of both machines")
    wanted = _signature(secret, delivery, at, body)
    for part in headers.get("webhook-signature", "").split():
        version, _, given = part.partition(",")
        if version == "v1" and hmac.compare_digest(given, wanted):
            return
    raise ValueRejected("the signature is not that of this secret", hint="check the secret that the webhook was given")


def _signature(secret: str, delivery: str, at: int, body: bytes) -> str:
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except Base64Error as error:
        raise ValueRejected("this is no secret of a webhook", hint="it begins with whsec_") from error
    return b64encode(hmac.digest(key, f"{delivery}.{at}.".encode() + body, sha256)).decode()
