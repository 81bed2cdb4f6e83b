"""Access to a gateway: checked before anything else in a request.

on loopback            programs of this machine, but no web pages (`same_origin`)
with --keys            clients with a key whose quota is not used up, on loopback too
beyond loopback        only with a key, unless --open; dialects without keys serve only the
                       addresses of --allow
without a key          a quota of sound per hour and address; none for this machine
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from nodes.gateway.allowed import is_allowed
from nodes.gateway.api_keys import KeyRing, parse_keys
from nodes.gateway.config import GatewayConfig
from nodes.gateway.same_origin import check_own_page, check_same_origin
from nodes.sound_quota import NetworkSoundQuota, SoundQuota
from privox_dht.addresses import is_loopback
from privox_dht.errors import ConfigError, RequestRejected
from privox_dht.http.request_checks import CLIENT, reject
from privox_dht.offer import Offer
from privox_dht.quotas import Prefixes, quota_prefixes
from privox_dht.speech_api.job_log import ServedJob
from privox_dht.speech_api.speech_server import ErrorResponse

log = logging.getLogger("privox.gateway")
KEYLESS_PAGES = ("/asr", "/detect-language", "/status", "/synthesize", "/get_models", "/metrics")
KEY_IN_FORM_PAGES = ("/stt", "/tts")  # Privox's pages, whose key may be a form field
PUBLIC_PAGES = ("/", "/healthz")  # the page without its data, and the health check
PAGE_FILES = "/web/"  # the page's files
BEARER = "bearer "


class KeyFile:
    """The keys in a file, which is read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ConfigError: it cannot be read, or is not a file of keys.
        """
        self._path = path
        self._changed = 0
        self._ring = KeyRing(())
        self._read()

    def __repr__(self) -> str:
        return f"<KeyFile {self._path} {self._ring!r}>"

    @property
    def ring(self) -> KeyRing:
        """The keys now; if the file can no longer be read, the previous ones."""
        try:
            self._read()
        except ConfigError as exc:
            log.error("%s", exc)
        return self._ring

    def _read(self) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
            if changed == self._changed:
                return
            self._changed = changed
            self._ring = KeyRing(parse_keys(self._path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"cannot read --keys {self._path}: {exc}") from exc
        except ConfigError as exc:
            raise ConfigError(f"--keys {self._path}: {exc}") from exc


class Access:
    """Authorizes requests, and counts the seconds of sound of each key."""

    def __init__(self, config: GatewayConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self.keys = KeyFile(config.keys) if config.keys is not None else None  # None: none needed
        self._quota = SoundQuota()
        self._keyless = NetworkSoundQuota(config.keyless_seconds)
        self.error_responses: dict[str, ErrorResponse] = {}  # by path, of dialects with their own

    def middleware(self) -> Middleware:
        """The middleware that checks every request."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._check(request)
            except RequestRejected as exc:
                error_response = self.error_responses.get(request.path)
                if error_response is None:
                    raise
                return await reject(request, error_response(request, exc))
            return await handler(request)

        return check

    def _check(self, request: web.Request) -> None:
        """
        Raises:
            RequestRejected: 401, 403 or 429.
        """
        if self._is_loopback(request):
            check_same_origin(request.headers.get("Host"), request.headers.get("Origin"))
        else:
            check_own_page(request.headers.get("Host"), request.headers.get("Origin"))
        self._authorize(request)

    def _is_loopback(self, request: web.Request) -> bool:
        """Whether the request came to an address that only this machine can reach."""
        https = self._config.https
        return is_loopback(https.host if https and request.secure else self._config.host)

    def job_changed(self, job: ServedJob) -> None:
        """A job began or ended; at its end its sound is charged, whatever the outcome."""
        offer, now = job.offer, self._clock()
        if not job.outcome:
            return
        if self.keys is not None and offer.client:
            key = self.keys.ring.named(offer.client)
            if key is not None:
                self._quota.charge(key.name, key.seconds, offer.seconds, now)
        elif offer.prefixes and offer.seconds:
            self._keyless.charge(offer.prefixes, offer.seconds, now)

    def check_address(self, prefixes: Prefixes) -> None:
        """Check the quota of clients without a key in a network; this machine has none.

        Raises:
            RequestRejected: 429.
        """
        if wait := self._keyless.wait(prefixes, self._clock()):
            raise RequestRejected(
                f"your address has used its {self._config.keyless_seconds} s of sound for this"
                " hour: wait, or ask for a key",
                status=429,
                code="rate_limit_exceeded",
                retry_after=wait,
            )

    def identify(self, offer: Offer, secret: str) -> None:
        """Set the client of a job by the key in its form, unless its headers had one.

        Raises:
            RequestRejected: 401 or 429.
        """
        if not offer.client:
            offer.client = self._client(secret)

    def _authorize(self, request: web.Request) -> None:
        """
        Raises:
            RequestRejected: 401, 403 or 429.
        """
        path = request.path.rstrip("/") or "/"
        if path in PUBLIC_PAGES or path.startswith(PAGE_FILES):
            return
        if path in KEYLESS_PAGES:
            self._check_network(request)
        else:
            secret = _key_of(request)
            if secret or path not in KEY_IN_FORM_PAGES:
                request[CLIENT] = self._client(secret)
            if self.keys is not None:
                return
        if request.method == "POST":
            self.check_address(quota_prefixes(request.remote) if request.remote else ())

    def _client(self, secret: str) -> str:
        """The name of this key; "": this gateway needs no keys.

        Raises:
            RequestRejected: 401, it is unknown; 429, its quota is used up.
        """
        if self.keys is None:
            return ""
        key = self.keys.ring.find(secret)
        if key is None:
            raise RequestRejected(
                "this gateway needs a key, as a bearer token", status=401, code="invalid_api_key"
            )
        if wait := self._quota.wait(key.name, key.seconds, self._clock()):
            raise RequestRejected(
                f"this key has used its {key.seconds} s of sound for this hour",
                status=429,
                code="rate_limit_exceeded",
                retry_after=wait,
            )
        return key.name

    def _check_network(self, request: web.Request) -> None:
        """Dialects without keys serve only the addresses of --allow, even with --open.

        Raises:
            RequestRejected: 403.
        """
        if self._is_loopback(request):
            return
        if not is_allowed(request.remote or "", self._config.allow):
            raise RequestRejected(
                "this page takes no keys, and your address is not in --allow",
                status=403,
                code="address_not_allowed",
            )


def _key_of(request: web.Request) -> str:
    """The key of a request: a bearer token, another header, or a URL parameter."""
    header = request.headers.get("Authorization", "")
    if header[: len(BEARER)].lower() == BEARER:
        return header[len(BEARER) :].strip()
    return request.headers.get("X-API-Key", "") or request.query.get("key", "")
