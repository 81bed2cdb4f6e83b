"""A request's body, read within bounds.

    client -> read_form    text fields, and the file in memory or in an unlinked temporary file
    client -> read_json    the bytes of a small body

Every read has a deadline (`MinimumRate`), every byte is counted before it is kept, and the body is
read to its end before any work begins: only then does aiohttp notice that the client disconnects.
"""

import asyncio
import io
import tempfile
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, suppress
from typing import BinaryIO, cast

from aiohttp import web

from privox_dht.atomic_file import close_unnamed
from privox_dht.errors import JobError, RequestRejected
from privox_dht.http.multipart import Form, boundary_of
from privox_dht.http.request_limits import RequestLimits
from privox_dht.offer import Offer
from privox_dht.units import size


class MinimumRate:
    """How fast a body must come: its first byte soon, then enough in every window, all in time.

    A window ends as soon as enough has come: a fast sender is never near a deadline, and cannot
    save up time for later.
    """

    def __init__(self, bounds: RequestLimits, now: float) -> None:
        self._bounds = bounds
        self._ends = now + bounds.upload_wall
        self._missing = 1.0  # bytes still to come in this window; in the first just one
        self.due = min(now + bounds.upload_begin, self._ends)  # the deadline of the next bytes

    def __repr__(self) -> str:
        return f"<MinimumRate {self._missing:.0f} bytes due at {self.due:.1f}>"

    def received(self, size: int, now: float) -> None:
        """`size` bytes came."""
        self._missing -= size
        if self._missing <= 0:
            self._missing = self._bounds.upload_rate * self._bounds.upload_window
            self.due = min(now + self._bounds.upload_window, self._ends)


class SpooledFile:
    """The file of a form: in memory while it is small, then in an unlinked temporary file, which
    ends with the process. Close it when the job ends (`contextlib.aclosing`)."""

    def __init__(self, in_memory: int) -> None:
        self._in_memory = in_memory
        self._file: BinaryIO = io.BytesIO()
        self._pending = bytearray()
        self.size = 0
        self.field = ""  # the name it had in its form

    async def write(self, piece: bytes) -> None:
        """Append `piece`; the disk is written in large blocks, in a thread."""
        self.size += len(piece)
        self._pending += piece
        if len(self._pending) > self._in_memory:
            await self._to_disk()

    async def rewind(self) -> BinaryIO:
        """The whole file, at its beginning."""
        if self.size <= self._in_memory:
            self._file = io.BytesIO(self._pending)
        else:
            await self._to_disk()
            self._file.seek(0)
        return self._file

    async def aclose(self) -> None:
        """Close it, in a thread if it is large."""
        await close_unnamed(self._file.close, self.size)

    async def _to_disk(self) -> None:
        block, self._pending = self._pending, bytearray()
        if isinstance(self._file, io.BytesIO):
            self._file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115
        await asyncio.to_thread(self._file.write, block)


async def read_form(
    request: web.BaseRequest,
    bounds: RequestLimits,
    upload: SpooledFile,
    offer: Offer,
    files: Collection[str] = ("file",),
) -> list[tuple[str, str]]:
    """Read the form to its end: its file goes to `upload`, its text fields are returned, its
    progress is recorded in `offer`. `files` are the names that the file may have; none: no file.

    Raises:
        RequestRejected: 400, 408 or 413, saying what is wrong.
    """
    boundary = boundary_of(request.headers.get("Content-Type", ""))
    if boundary is None:
        raise not_a_form()
    form = Form(boundary, files=files, fields=bounds.fields, field=bounds.field)
    async with aclosing(pieces(request, bounds, bounds.upload, offer)) as body:
        async for piece in body:
            for part in form.feed(piece):
                await upload.write(part)
    fields = form.finish()
    upload.field = form.file
    if not files:
        return fields
    if not form.file:
        raise RequestRejected("the form has no file", code="no_file", param="file")
    if not upload.size:
        raise RequestRejected("the file is empty", code="empty_file", param="file")
    return fields


async def read_json(
    request: web.BaseRequest, bounds: RequestLimits, offer: Offer | None = None
) -> bytes:
    """Read a small body to its end.

    Raises:
        RequestRejected: 400, 408 or 413, saying what is wrong.
    """
    body = bytearray()
    async with aclosing(pieces(request, bounds, bounds.json, offer or Offer())) as all_pieces:
        async for piece in all_pieces:
            body += piece
    return bytes(body)


async def pieces(
    request: web.BaseRequest, bounds: RequestLimits, most: int, offer: Offer
) -> AsyncGenerator[bytes]:
    """The body as it comes: at most `most` bytes, and not too slowly."""
    loop = asyncio.get_running_loop()
    pace = MinimumRate(bounds, loop.time())
    errors: list[JobError] = []  # set by admission, if another job needs the slot
    while not request.content.at_eof():
        try:
            async with asyncio.timeout_at(pace.due) as deadline:
                offer.end_upload = lambda error: _end(error, errors, deadline)
                piece = await request.content.readany()
        except TimeoutError as exc:
            if errors:
                raise errors[0] from None
            raise RequestRejected("the upload is too slow", status=408, code="too_slow") from exc
        except web.RequestPayloadError as exc:
            raise RequestRejected("the body is not well-formed HTTP", code="broken_body") from exc
        offer.received += len(piece)
        if offer.received > most:
            raise too_large(most)
        pace.received(len(piece), loop.time())
        yield piece
        if errors:
            raise errors[0]
    offer.uploading = False


def _end(error: JobError, errors: list[JobError], deadline: asyncio.Timeout) -> None:
    errors.append(error)
    with suppress(RuntimeError):  # nothing is awaited now
        deadline.reschedule(0)


def too_large(most: int) -> RequestRejected:
    """The error of a body above its limit."""
    return RequestRejected(f"the upload is larger than {size(most)}", status=413, code="too_large")


def not_a_form() -> RequestRejected:
    """The error of a body that is not a form."""
    return RequestRejected(
        "the body is not multipart/form-data with a boundary", status=415, code="not_a_form"
    )
