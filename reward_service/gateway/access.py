"""Who may call what: the key of a request, the scope of its route, and the quota of its tenant.

What is decided here
- Each route is wrapped with what it needs, so there is no path that spells a route differently for the check and for the
  router. The check comes before a byte of the body is read.
- A key travels as `Authorization: Bearer`, as `X-API-Key`, or as the password of HTTP Basic: that is what HTTP clients make
  of a URL like `http://any:KEY@host/`, and all that trainers with nothing but a URL can send; browsers ask for one. It is
  never part of a path, which ends up in logs.
- Keys are off on loopback and on everywhere else. A service that would listen to others without keys doesn't start, unless it
  is told that something in front of it authenticates (`REWARD_SERVICE_AUTH=off`).
"""

from __future__ import annotations

import binascii
import ipaddress
from base64 import b64decode
from contextvars import ContextVar
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reward_service.engine.fleet import TENANT
from reward_service.engine.ports import Quotas
from reward_service.engine.quotas import Quota
from reward_service.errors import Forbidden, Overloaded, TooLarge, Unauthenticated
from reward_service.gateway.scopes import Need, need_of
from reward_service.keys import ANYBODY, BadKeys, Key, Keys
from reward_service.keys import Scope as KeyScope
from reward_service.logs import NOTE
from reward_service.settings import Settings

CALLER: ContextVar[Key] = ContextVar("caller", default=ANYBODY)
"""Whose request this is. Its name is the tenant."""
MINUTE, DAY = 60, 86_400


class KeysNeeded(ValueError):
    """The service would be open to others. The message says what to do."""


def is_loopback(host: str) -> bool:
    """Is this an address that only this machine reaches? A name other than `localhost` counts as open."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def keys_by(settings: Settings) -> Keys | None:
    """The keys that the settings ask for; None for none. KeysNeeded, or BadKeys for a file that can't be used."""
    if settings.auth == "off":
        return None
    if settings.keys_file:
        keys = Keys(Path(settings.keys_file))
        if not len(keys):
            raise BadKeys(f"{settings.keys_file} has no key: reward-service keys create NAME --scope score")
        return keys
    if settings.auth == "auto" and is_loopback(settings.host):
        return None
    why = f"{settings.host} is reached by others" if settings.auth == "auto" else "REWARD_SERVICE_AUTH=on"
    raise KeysNeeded(
        f"{why}, so there must be API keys. Make some:\n"
        "  reward-service keys create my-trainer --scope score --scope batch --file keys.json\n"
        "  export REWARD_SERVICE_KEYS_FILE=keys.json\n"
        "Or, if something in front of the service authenticates, say so: REWARD_SERVICE_AUTH=off"
    )


class Access:
    """The keys, and what their quotas have left."""

    def __init__(self, keys: Keys | None, quotas: Quotas) -> None:
        self.keys = keys
        self._quotas = quotas

    def caller(self, scope: Scope, need: Need) -> Key:
        """Whose request this is. Unauthenticated without a key that is one; Forbidden if it lacks the scope."""
        if self.keys is None or need is None:
            return ANYBODY
        secret = sent_key(scope)
        key = self.keys.find(secret) if secret else None
        if key is None:
            raise Unauthenticated(
                "the key is not (or no longer) one of this service's" if secret else "there is no key in the request"
            )  # fmt: skip
        if need and not any(key.may(wanted) for wanted in need):
            names = " or ".join(sorted(need))
            raise Forbidden(f"this route needs a key with the scope {names}")
        return key

    async def charge(self, items: int) -> None:
        """Count items against the caller's quotas. Overloaded (`over-quota`) with the time to come back."""
        key = CALLER.get()
        if not (key.items_per_minute or key.items_per_day) or not items:
            return
        quotas = [
            Quota(count, seconds)
            for count, seconds in ((key.items_per_minute, MINUTE), (key.items_per_day, DAY))
            if count
        ]
        least = min(quota.items for quota in quotas)
        if items > least:
            raise TooLarge(f"{items} items at once; the quota of this key is {least}")
        wait = await self._quotas.take(key.name, items, quotas)
        if wait > 0:
            text = " and ".join(f"{q.items} items per {'minute' if q.seconds == MINUTE else 'day'}" for q in quotas)  # fmt: skip
            raise Overloaded(f"the quota of this key is {text}", problem="over-quota", retry_after=wait)


def sent_key(scope: Scope) -> str:
    """The key in the request's headers, or ""."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, rest = value.decode("latin-1").partition(" ")
            if kind.lower() == "bearer":
                return str(rest.strip())
            if kind.lower() == "basic":
                return of_basic(rest.strip())
        elif name == b"x-api-key":
            return str(value.decode("latin-1").strip())
    return ""


def of_basic(text: str) -> str:
    """The password of HTTP Basic credentials, or the user name where there is no password."""
    try:
        user, _, password = b64decode(text, validate=True).decode("latin-1").partition(":")
    except (ValueError, binascii.Error):
        return ""
    return password or user


def owns(tenant: str) -> bool:
    """May the caller see what belongs to this tenant?"""
    key = CALLER.get()
    return key.name == tenant or key.may(KeyScope.ADMIN)


class Guard:
    """A route behind the check of its key."""

    def __init__(self, app: ASGIApp, access: Access, need: Need) -> None:
        self._app = app
        self._access = access
        self._need = need

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's."""
        if scope["type"] != "http":
            raise Forbidden("HTTP only")
        key = self._access.caller(scope, self._need)
        caller, tenant = CALLER.set(key), TENANT.set(key.name)
        if (note := NOTE.get()) is not None:
            note.tenant = key.name
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(caller)
            TENANT.reset(tenant)


def guard(app: FastAPI, access: Access, prefix: str = "") -> None:
    """Put every route behind the check. NoScope for a route that `scopes.NEEDS` doesn't know."""
    for route in app.routes:
        if not isinstance(route, Route | Mount):
            raise TypeError(f"{type(route).__name__} can't be guarded: add the routes one by one")
        need = need_of(route.path, prefix)
        if access.keys is not None:
            route.app = Guard(route.app, access, need)
