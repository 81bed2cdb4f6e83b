"""The gateway over HTTPS, for browsers on other machines: only HTTPS pages get the microphone.

async with HttpsListener(config, server) as listener:     it listens at `listener.port`
    ...                                                   a renewed certificate is used by itself
"""

import asyncio
import logging
from pathlib import Path

from nodes.gateway.certificate import (
    ANY_ADDRESS,
    fingerprint_of,
    load_certificate,
    names_of_this_machine,
    stored_certificate,
    tls_context,
)
from nodes.gateway.config import HttpsConfig
from nodes.service import Service
from privox_dht.addresses import join_host
from privox_dht.cli.output import log_fields
from privox_dht.errors import ConfigError
from privox_dht.http.http_server import HttpServer
from privox_dht.http.listener import bind

log = logging.getLogger("privox.gateway")
RENEWAL_CHECK = 3600.0  # seconds between two checks of the files: certificates last for weeks


class HttpsListener(Service):
    """Another listener of a server that is entered."""

    def __init__(self, config: HttpsConfig, server: HttpServer) -> None:
        super().__init__()
        self._config, self._server = config, server
        self.port = config.port
        self.fingerprint = ""

    def __repr__(self) -> str:
        return f"<HttpsListener {join_host(self._config.host, self.port)}>"

    async def _start(self) -> None:
        certificate, private_key = self._files()
        self._context = tls_context(certificate, private_key)
        self.fingerprint = fingerprint_of(certificate)
        sockets = bind(self._config.host, self._config.port)
        self.port = sockets[0].getsockname()[1]
        await self._stack.enter_async_context(self._server.listener(sockets, self._context))
        self._spawn("renewing the certificate", self._renew())
        log.info(
            "the page is at %s; its certificate's SHA-256 fingerprint is %s", self.url,
            self.fingerprint, extra=log_fields("https", port=self.port, pin=self.fingerprint),
        )  # fmt: skip

    @property
    def url(self) -> str:
        """The URL for other machines."""
        host = self._config.host
        if host in ANY_ADDRESS:
            host = names_of_this_machine(host).needed[-1]
        return f"https://{join_host(host, self.port)}/"

    def _files(self) -> tuple[Path, Path]:
        """The certificate and its key: the owner's, or a self-signed one.

        Raises:
            ConfigError: it cannot be stored.
        """
        config = self._config
        if config.certificate is not None:
            return config.certificate, config.private_key or config.certificate
        kept = stored_certificate(config.folder, names_of_this_machine(config.host))
        return kept, kept

    async def _renew(self) -> None:
        """Use the files again whenever they have changed."""
        while True:
            await asyncio.sleep(RENEWAL_CHECK)
            self.renew()

    def renew(self) -> None:
        """Check the files now; if they cannot be used, keep the previous certificate."""
        try:
            certificate, private_key = self._files()
            if (fingerprint := fingerprint_of(certificate)) == self.fingerprint:
                return
            tls_context(certificate, private_key)  # one that fails has half of a new certificate
            load_certificate(self._context, certificate, private_key)
        except ConfigError as exc:
            log.error("the certificate was not renewed, the old one stays in use: %s", exc)
            return
        self.fingerprint = fingerprint
        log.info("the certificate's SHA-256 fingerprint is %s from now on", fingerprint)
