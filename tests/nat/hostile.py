"""What stands where a farm should: a plain tunnel, one that alters a byte, one that lies.

    python -m tests.nat.hostile tunnel   PORT HOST:PORT          passes everything on
    python -m tests.nat.hostile flip     PORT HOST:PORT PLACE    alters one byte of what comes back
    python -m tests.nat.hostile impostor PORT HOST:PORT          answers calls with a key of its own

Each says "ready", then "flipped" or "answered" when it has done harm, and an impostor says how many
bytes of a job it got to read.
"""

import asyncio
import sys
from collections.abc import Callable

from privox_dht.identity import Identity

CHUNK = 65_536  # bytes
CALL = b"CONNECT "
END = b"\r\n\r\n"

Alter = Callable[[bytes], bytes]


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alter: Alter = bytes
) -> None:
    """From one to the other until either hangs up."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(alter(data))
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


def flipper(place: int) -> Alter:
    """Alters the byte at that place of a stream, and says so."""
    seen = 0

    def alter(data: bytes) -> bytes:
        nonlocal seen
        offset, seen = place - seen, seen + len(data)
        if not 0 <= offset < len(data):
            return data
        print("flipped", flush=True)
        return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]

    return alter


class Hostile:
    """One listener and where it passes things on to."""

    def __init__(self, mode: str, host: str, port: int, place: int = 0) -> None:
        self.mode, self.host, self.port, self.place = mode, host, port, place
        self.identity = Identity.generate()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b""
        try:
            if self.mode == "impostor":
                head = await reader.readuntil(END)
                if head.startswith(CALL):
                    return await self.lie(reader, writer)
            await self.pass_on(head, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def pass_on(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        alter = flipper(self.place) if self.mode == "flip" else bytes
        there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        try:
            there_writer.write(head)
            await asyncio.gather(carry(reader, there_writer), carry(there_reader, writer, alter))
        finally:
            there_writer.close()

    async def lie(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pretend to be the producer."""
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        print("answered", flush=True)
        try:
            await writer.start_tls(self.identity.server_context())
            heard = len(await reader.read(CHUNK))
        except OSError:
            heard = 0
        print(f"heard {heard} bytes", flush=True)


async def main(mode: str, port: str, target: str, place: str = "0") -> None:
    host, _, number = target.rpartition(":")
    hostile = Hostile(mode, host.strip("[]"), int(number), int(place))
    server = await asyncio.start_server(hostile.accept, None, int(port))
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
