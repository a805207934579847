"""Sends one request and brings back one response or one SendError: nothing is retried or redirected here."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker.answer_body import Bodies
from llmreq.worker.answer_memory import AnswerMemory
from llmreq.worker.direct import DirectSender
from llmreq.worker.proxied import ProxiedSender
from llmreq.worker.resolver import Resolver


def _nothing() -> None:
    pass


class Sender:
    """Any number of calls in flight. Make and use it in one event loop, and close it.

    HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured, and SSL_CERT_FILE as OpenSSL honours it.
    """

    def __init__(self, resolver: Resolver | None = None, memory: AnswerMemory | None = None) -> None:
        self._certificates = _certificates()
        self._proxies = getproxies()
        self._bodies = Bodies(memory or AnswerMemory())
        self._direct = DirectSender(self._certificates, resolver or Resolver(), self._bodies)
        self._proxied: ProxiedSender | None = None

    async def send(
        self, request: HttpRequest, *, timeout_seconds: float, on_sent: Callable[[], None] = _nothing
    ) -> HttpResponse:
        """POST and read the whole answer within one deadline. Raises SendError.

        `on_sent` is called right before the first byte leaves: an end before that costs nothing. A prompt that nobody else
        keeps is dropped when it has left.
        """
        proxy = self._proxy(request.url) if self._proxies else None
        if proxy is None:
            sending = self._direct.send(request, timeout_seconds, on_sent)
        else:
            self._proxied = self._proxied or ProxiedSender(self._certificates, self._bodies)
            sending = self._proxied.send(request, proxy, timeout_seconds, on_sent)
        del request
        return await sending

    async def close(self) -> None:
        """Close every connection."""
        await self._direct.close()
        if self._proxied is not None:
            await self._proxied.close()

    def _proxy(self, url: str) -> str | None:
        parts = urlsplit(url)
        if proxy_bypass(parts.netloc):
            return None
        return self._proxies.get(parts.scheme) or self._proxies.get("all")


def open_sender() -> Sender:
    """The sender for a worker."""
    return Sender()


def _certificates() -> ssl.SSLContext:
    """The system's certificates or SSL_CERT_FILE's; certifi's where the system has none, as in small containers."""
    context = ssl.create_default_context()
    chosen = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if not chosen and not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context
