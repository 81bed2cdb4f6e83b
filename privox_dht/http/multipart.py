"""A multipart form, read as it comes, without I/O.

    client -> Form.feed(bytes)    the pieces of the one file part, as they are found
    client -> Form.finish()       the text fields, once the last boundary was seen

    PREAMBLE --boundary--> HEADERS --blank line--> BODY --boundary--> HEADERS | EPILOGUE

Fields may be in any order. Parts, bytes of a part's headers and bytes of a text field are counted
before anything is kept. The caller counts the bytes of the file.
"""

import re
from collections.abc import Collection

from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.units import size

PREAMBLE, HEADERS, BODY, EPILOGUE = "preamble", "headers", "body", "epilogue"
MAX_BOUNDARY = 70  # characters, as RFC 2046 has it
MAX_PADDING = 64  # bytes of white space after a boundary
_PARAMETER = re.compile(rb';[ \t]*([\w*-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;"\s]*))[ \t]*')
_PLAIN = (b"", b"7bit", b"8bit", b"binary")  # transfer encodings that change nothing


def boundary_of(content_type: str) -> bytes | None:
    """The boundary that a multipart/form-data content type names; None if it is anything else."""
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    try:
        boundary = _parameters(b";" + rest.encode("ascii")).get(b"boundary", b"")
    except UnicodeEncodeError:
        return None
    return boundary if 0 < len(boundary) <= MAX_BOUNDARY else None


class Form:
    """One form as it arrives."""

    def __init__(
        self,
        boundary: bytes,
        *,
        files: Collection[str] = ("file",),
        fields: int = limits.MAX_FIELDS,
        field: int = limits.MAX_FIELD,
    ) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._files = files
        self._fields = fields
        self._field = field
        self._state = PREAMBLE
        self._next = HEADERS  # the state after the boundary that was found last
        self._buffer = bytearray(b"\r\n")  # so that a boundary at the very start is found too
        self._name = ""
        self._value = bytearray()
        self._parts = 0
        self._texts: list[tuple[str, str]] = []
        self.file = ""  # the name of the file part; empty: there was none yet

    def __repr__(self) -> str:
        return f"<Form {self._state}, part {self._parts}>"

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; returns the pieces of the file in them.

        Raises:
            RequestRejected: 400 or 413, the form is malformed or too large.
        """
        if self._state == EPILOGUE:
            return []
        self._buffer += data
        pieces: list[bytes] = []
        while self._step(pieces):
            pass
        return pieces

    def finish(self) -> list[tuple[str, str]]:
        """The text fields, in their order.

        Raises:
            RequestRejected: 400, the form ended before its last boundary.
        """
        if self._state != EPILOGUE:
            raise RequestRejected("the form ends before its last boundary", code="broken_form")
        return self._texts

    def _step(self, pieces: list[bytes]) -> bool:
        """One step; False: more bytes are needed."""
        if self._state == HEADERS:
            return self._read_headers()
        if self._state == EPILOGUE:
            self._buffer.clear()
            return False
        return self._read_until_boundary(pieces)

    def _read_until_boundary(self, pieces: list[bytes]) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            safe = len(self._buffer) - len(self._delimiter) + 1  # the rest may be half a boundary
            if safe > 0:
                self._take(bytes(self._buffer[:safe]), pieces)
                del self._buffer[:safe]
            return False
        tail = self._tail(at + len(self._delimiter))
        if tail is None:
            return False
        self._take(bytes(self._buffer[:at]), pieces)
        del self._buffer[:tail]
        self._end_part()
        return True

    def _tail(self, start: int) -> int | None:
        """Where what follows a boundary begins; sets the next state. None: more bytes needed."""
        rest = bytes(self._buffer[start : start + MAX_PADDING + 2])
        if rest.startswith(b"--"):
            self._next = EPILOGUE
            return start + 2
        padding = len(rest) - len(rest.lstrip(b" \t"))
        if rest[padding : padding + 2] == b"\r\n":
            self._next = HEADERS
            return start + padding  # the line end is kept: it may be half of a blank line
        if len(rest) - padding >= 2 or padding > MAX_PADDING:
            raise RequestRejected(
                "a boundary of the form is followed by something else", code="broken_form"
            )
        return None

    def _take(self, piece: bytes, pieces: list[bytes]) -> None:
        if self._state == PREAMBLE:
            self._skip(piece)
        elif self._name in self._files:
            if piece:
                pieces.append(piece)
        else:
            self._value += piece
            if len(self._value) > self._field:
                raise RequestRejected(
                    f"the field {self._name!r} is longer than {size(self._field)}",
                    status=413,
                    code="field_too_long",
                    param=self._name,
                )

    def _skip(self, piece: bytes) -> None:
        self._value += piece
        if len(self._value) > limits.MAX_PART_HEADERS:
            raise RequestRejected("the form does not begin with its boundary", code="broken_form")

    def _end_part(self) -> None:
        if self._state == BODY and self._name not in self._files:
            try:
                self._texts.append((self._name, self._value.decode("utf-8")))
            except UnicodeDecodeError as exc:
                raise RequestRejected(
                    f"the field {self._name!r} is not UTF-8", code="not_utf8", param=self._name
                ) from exc
        self._value.clear()
        self._state = self._next
        if self._state == HEADERS:
            self._parts += 1
            if self._parts > self._fields:
                raise RequestRejected(
                    f"the form has more than {self._fields} parts", code="too_many_fields"
                )

    def _read_headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > limits.MAX_PART_HEADERS or (
            end < 0 and len(self._buffer) > limits.MAX_PART_HEADERS
        ):
            raise RequestRejected("a part of the form has too long headers", code="broken_form")
        if end < 0:
            return False
        self._begin_part(bytes(self._buffer[2:end]) if end else b"")
        del self._buffer[: end + 4]
        self._state = BODY
        return True

    def _begin_part(self, block: bytes) -> None:
        headers = _headers(block)
        disposition = headers.get(b"content-disposition", b"")
        kind, _, rest = disposition.partition(b";")
        name = _parameters(b";" + rest).get(b"name") if rest else None
        if kind.strip().lower() != b"form-data" or not name:
            raise RequestRejected("a part of the form has no name", code="broken_form")
        if headers.get(b"content-transfer-encoding", b"").lower() not in _PLAIN:
            raise RequestRejected(
                "a part of the form is encoded; send it as it is", code="broken_form"
            )
        self._name = name.decode("utf-8", "replace")[:64]
        if self._name in self._files:
            if self.file:
                raise RequestRejected("the form has two files", code="two_files", param=self._name)
            self.file = self._name


def _headers(block: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in block.split(b"\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _parameters(text: bytes) -> dict[bytes, bytes]:
    """`; name="a"; filename=b` as a dictionary; parsing stops at the first malformed one."""
    found: dict[bytes, bytes] = {}
    at = 0
    while match := _PARAMETER.match(text, at):
        name, quoted, token = match.groups()
        value = token if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
        found.setdefault(name.lower(), value)
        at = match.end()
    return found
