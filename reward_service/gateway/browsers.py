"""What web pages may do with the service: nothing, unless they are its own.

What is decided here: a browser sends requests for any page that its user looks at, with the user's password for this service, and
to services on the user's own machine. So a request that changes or costs something, and that a browser says comes from a page of
another origin, is refused; there is no CORS, so that such a page reads no answer either. Where keys are off because only this
machine can connect, the name in the request has to be this machine's: a page of an attacker's domain can have that
domain point to 127.0.0.1, and is then of the service's own origin.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def refused(scope: Scope, *, local_names_only: bool) -> str:
    """Why this request is not to be served; "" if it is."""
    host = origin = site = b""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name == b"origin":
            origin = value
        elif name == b"sec-fetch-site":
            site = value
    if local_names_only and host and not is_local(host):
        return (
            "the service is on loopback and this request came for another name; if a proxy in front of it sends that, "
            "set REWARD_SERVICE_AUTH=off, or use API keys"
        )
    if scope["method"] in SAFE:
        return ""
    if site:
        foreign = site not in (b"same-origin", b"none")
    else:
        foreign = bool(origin) and urlsplit(origin).netloc.lower() != host.lower()
    return "a page of another origin may not do that" if foreign else ""


@lru_cache(256)
def is_local(host: bytes) -> bool:
    """Is this name one that no domain of somebody else's can be: an address, `localhost`, or a name without a dot?"""
    try:
        name = urlsplit(b"//" + host).hostname or b""
        text = name.decode("ascii")
    except ValueError:
        return False
    if text == "localhost" or text.endswith(".localhost") or "." not in text.rstrip("."):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
