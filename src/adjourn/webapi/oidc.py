"""Tokens of an OpenID Connect issuer: signed JWTs, checked with the keys that the issuer publishes.

The issuer's discovery document says where its keys are. They are fetched when first needed, again every hour, and when a
token names a key that is not among them (the issuer changed its keys), though not more often than every ten seconds
however many such tokens come. An issuer that cannot be reached, or that is slow, does not hold up those whose keys are
known; whether any other key is his cannot be said then, so that its tokens are told to come back.
Signatures by public keys only: `none`, and HMAC with a public key as its secret, are no signatures.
Source: OpenID Connect Discovery 1.0; RFC 7517, 7519, 8725; webapi.md §20.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
import structlog

from adjourn import runtime
from adjourn.errors import Busy, InvalidRequest, Unauthenticated

log = structlog.get_logger("adjourn.webapi")

CLOCK_SKEW_SECONDS = 60
KEYS_FRESH_SECONDS = 3600.0
KEYS_AGAIN_SECONDS = 10.0
FETCH_SECONDS = 5.0
ASKING_SECONDS = 1.0
"""How long a request waits for another one that is asking the issuer: a slow issuer must not take every thread."""
DOCUMENT_BYTES_MAX = 256 * 1024
KEYS_MAX = 100
TOKEN_CHARACTERS_MAX = 16_384
EXPIRES_MAX = 2**53
ALGORITHMS = {"RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "EC": ("ES256", "ES384", "ES512")}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EXPIRED, _BAD, _NONE = 0x8004A101, 0x8004A102, 0x8004A100

Fetch = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class _Key:
    """A public key, and the algorithms that a token signed with it may name."""

    public: Any
    algorithms: tuple[str, ...]


class Issuer:
    """One issuer, and the audiences of which a token must name one. Thread-safe; `claims` may fetch, so it can take seconds."""

    def __init__(self, url: str, audiences: Sequence[str], fetch: Fetch | None = None) -> None:
        """Raises InvalidRequest for an address that is not HTTPS (HTTP is for this machine alone), or no audience."""
        self.url = url.rstrip("/")
        if not audiences:
            raise InvalidRequest("An issuer needs an audience: tokens that it made for others must not be valid here.")
        self._audiences = list(audiences)
        self._fetch = fetch or _fetch
        self._name = self.url
        """As the issuer spells itself, in its document and its tokens: perhaps with a slash at the end."""
        self._keys: Mapping[str, _Key] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._reached = False
        self._lock = runtime.lock()
        _check_address(self.url)

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says, once its signature, issuer, audience and times are found good.

        Raises Unauthenticated with the documented code, Busy if the issuer's keys cannot be had.
        """
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise Unauthenticated(f"An access token has at most {TOKEN_CHARACTERS_MAX:,} characters.", code=_NONE)
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("The access token cannot be read.", code=_NONE) from None
        key = self._key(header.get("kid"))
        try:
            found: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=list(key.algorithms),
                audience=self._audiences,
                issuer=self._name,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The access token has expired.", code=_EXPIRED) from None
        except jwt.InvalidAudienceError:
            raise Unauthenticated(
                f"The access token is not for this service; it must name one of: {', '.join(self._audiences)}.",
                code=_BAD,
            ) from None
        except jwt.InvalidIssuerError:
            raise Unauthenticated(f"The access token is not from {self._name}.", code=_BAD) from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise Unauthenticated(f"The access token is not valid: {str(error)[:200]}.", code=_BAD) from None
        if int(found["exp"]) > EXPIRES_MAX:
            raise Unauthenticated("The access token is not valid: its exp is no moment.", code=_BAD)
        return found

    def _key(self, name: object) -> _Key:
        """The issuer's key of this name; without a name the only one that there is."""
        wanted = name if isinstance(name, str) else None
        found = self._find(wanted)
        if found is None:
            self._ask(ASKING_SECONDS)
            found = self._find(wanted)
            if found is None and not self._reached:
                raise Busy(f"The keys of {self.url} cannot be had; try again.", status=503)
        elif self._old() and self._may_ask():
            runtime.spawn(self._ask, 0.0, name="issuer-keys")
        if found is None:
            raise Unauthenticated("The access token is signed with a key that its issuer does not publish.", code=_BAD)
        return found

    def _find(self, name: str | None) -> _Key | None:
        if name is not None:
            return self._keys.get(name)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _old(self) -> bool:
        return self._fetched is None or runtime.monotonic() - self._fetched > KEYS_FRESH_SECONDS

    def _may_ask(self) -> bool:
        return self._tried is None or runtime.monotonic() - self._tried >= KEYS_AGAIN_SECONDS

    def _ask(self, wait_seconds: float) -> None:
        """Fetch the keys, unless they were just asked for. Raises Busy if another thread is still at it after the wait."""
        if not self._lock.acquire(wait_seconds):
            if wait_seconds:
                raise Busy(f"The keys of {self.url} are being fetched; try again.", status=503)
            return
        try:
            if not self._may_ask():
                return
            self._tried = runtime.monotonic()
            try:
                self._name, self._keys = self._published()
            except (
                OSError,
                ValueError,
                KeyError,
                TypeError,
                msgspec.MsgspecError,
                jwt.PyJWTError,
                HTTPException,
            ) as error:
                self._reached = False
                log.warning("the issuer's keys cannot be had", issuer=self.url, error=str(error)[:500])
                return
            self._fetched, self._reached = runtime.monotonic(), True
        finally:
            self._lock.release()

    def _published(self) -> tuple[str, dict[str, _Key]]:
        """The issuer's name for itself, and its keys by theirs."""
        document = msgspec.json.decode(self._fetch(f"{self.url}/.well-known/openid-configuration"))
        issuer = str(document["issuer"])
        if issuer.rstrip("/") != self.url:
            raise ValueError(f"its discovery document is of issuer {issuer[:200]!r}")
        address = str(document["jwks_uri"])
        _check_address(address)
        found: dict[str, _Key] = {}
        for place, key in enumerate(msgspec.json.decode(self._fetch(address))["keys"][:KEYS_MAX]):
            known = _read(key)
            if known is not None:
                found[str(key.get("kid", place))] = known
        return issuer, found


def _read(key: Mapping[str, Any]) -> _Key | None:
    """A published key that signatures can be checked with; None for any other."""
    algorithms = ALGORITHMS.get(str(key.get("kty")), ())
    if "alg" in key:
        algorithms = tuple(name for name in algorithms if name == key["alg"])
    if not algorithms or key.get("use", "sig") != "sig":
        return None
    try:
        return _Key(jwt.PyJWK(dict(key), algorithm=algorithms[0]).key, algorithms)
    except jwt.PyJWTError as error:
        log.warning("a key of the issuer cannot be read", kid=str(key.get("kid"))[:100], error=str(error)[:200])
        return None


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise InvalidRequest(f"An issuer's address begins with https://, found '{url[:200]}'.")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _fetch(url: str) -> bytes:
    """A small document. Raises OSError, ValueError, HTTPException."""
    deadline = runtime.monotonic() + FETCH_SECONDS
    opener = urllib.request.build_opener(_NoRedirects)
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    try:
        with opener.open(request, timeout=FETCH_SECONDS) as answer:
            found = bytearray()
            while len(found) <= DOCUMENT_BYTES_MAX and (piece := answer.read1(DOCUMENT_BYTES_MAX)):
                found += piece
                if runtime.monotonic() > deadline:
                    raise OSError(f"{url} takes longer than {FETCH_SECONDS:.0f} seconds")
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise OSError(f"{url} answered {error.code}") from None
    if len(found) > DOCUMENT_BYTES_MAX:
        raise ValueError(f"the document is longer than {DOCUMENT_BYTES_MAX:,} bytes")
    return bytes(found)
