"""What went over an interface: every frame, and the byte streams put together from them.

    kernel  -> Capture   frames, in both directions, from an AF_PACKET socket in the namespace
    Capture -> test      packets(), streams(), `needle in capture`, save("x.pcap")

`needle in capture` looks into each frame as it passed and into each TCP stream as its reader saw
it, so that words which the network cut in two are found as well.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

FRAME = 262_144  # bytes; more than the largest frame a virtual interface hands over unsegmented
BUFFER = 256 * 1024 * 1024  # bytes of kernel buffer, so that a busy test thread loses nothing
ETH_P_ALL, IPV4, IPV6, TCP, UDP = 0x0003, 0x0800, 0x86DD, 6, 17
SOL_PACKET, PACKET_STATISTICS = 263, 6

Flow = tuple[str, str, int, int]  # source, destination, source port, destination port


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of TCP or UDP."""

    protocol: int
    flow: Flow
    sequence: int  # TCP's; 0 for UDP
    payload: bytes


def parse(frame: bytes) -> Packet | None:
    """The packet in an Ethernet frame; None for ARP, ICMP, fragments and what is cut short."""
    kind = struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 34 else 0
    if kind == IPV4:
        start = 14 + (frame[14] & 0x0F) * 4
        total, _, fragment = struct.unpack_from("!HHH", frame, 16)
        protocol, where, family = frame[23], 26, socket.AF_INET
    elif kind == IPV6 and len(frame) >= 54:
        start, fragment = 54, 0  # nobody here sends extension headers
        total = struct.unpack_from("!H", frame, 18)[0]
        total += 40 if total else 0
        protocol, where, family = frame[20], 22, socket.AF_INET6
    else:
        return None
    end = 14 + total if total else len(frame)  # 0: an unsegmented frame of more than 64 KiB
    if protocol not in (TCP, UDP) or fragment & 0x1FFF or len(frame) < start + 8:
        return None
    size = 4 if family == socket.AF_INET else 16
    ends = (frame[where : where + size], frame[where + size : where + 2 * size])
    source, destination = (socket.inet_ntop(family, address) for address in ends)
    flow = (source, destination, *struct.unpack_from("!HH", frame, start))
    if protocol == UDP:
        return Packet(UDP, flow, 0, frame[start + 8 : end])
    if len(frame) < start + 20:
        return None
    sequence = struct.unpack_from("!I", frame, start + 4)[0]
    return Packet(TCP, flow, sequence, frame[start + (frame[start + 12] >> 4) * 4 : end])


def streams(packets: Iterable[Packet]) -> dict[Flow, bytes]:
    """The bytes of each TCP direction, in order and without repeats; gaps are closed up."""
    pieces: dict[Flow, list[tuple[int, bytes]]] = {}
    first: dict[Flow, int] = {}
    for packet in packets:
        if packet.protocol == TCP and packet.payload:
            base = first.setdefault(packet.flow, packet.sequence)
            offset = (packet.sequence - base + 2**31) % 2**32 - 2**31  # numbers wrap around
            pieces.setdefault(packet.flow, []).append((offset, packet.payload))
    return {flow: _join(parts) for flow, parts in pieces.items()}


def _join(pieces: list[tuple[int, bytes]]) -> bytes:
    joined = bytearray()
    reached: int | None = None
    for offset, payload in sorted(pieces, key=lambda piece: piece[0]):
        fresh = payload if reached is None else payload[max(0, reached - offset) :]
        joined += fresh
        end = offset + len(payload)
        reached = end if reached is None else max(reached, end)
    return bytes(joined)


class Capture:
    """A running capture. As a context manager it stops at the end and keeps what it has."""

    def __init__(self, opened: socket.socket) -> None:
        """`opened` is an AF_PACKET socket, bound to the interface."""
        self.frames: list[tuple[float, bytes]] = []  # seconds since the epoch, the frame
        self.missed = 0  # frames the kernel had no room for
        self._socket = opened
        self._stop_reading, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._collect, name="capture", daemon=True)
        self._thread.start()

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take what has come so far, and end."""
        if self._socket.fileno() < 0:
            return
        os.close(self._stop)
        self._thread.join()
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self.missed = struct.unpack("=II", statistics)[1]
        self._socket.close()
        os.close(self._stop_reading)

    def _collect(self) -> None:
        self._socket.setblocking(False)
        while True:
            ready, _, _ = select.select([self._socket.fileno(), self._stop_reading], [], [])
            try:
                while True:
                    self.frames.append((time.time(), self._socket.recv(FRAME)))
            except BlockingIOError:
                pass
            if self._stop_reading in ready:
                return

    def packets(self) -> list[Packet]:
        return [packet for _, frame in list(self.frames) if (packet := parse(frame))]

    def streams(self) -> dict[Flow, bytes]:
        return streams(self.packets())

    def hosts(self) -> set[frozenset[str]]:
        """Which pairs of addresses talked to each other, by TCP or UDP."""
        return {frozenset(packet.flow[:2]) for packet in self.packets()}

    def __contains__(self, needle: bytes) -> bool:
        if any(needle in frame for _, frame in list(self.frames)):
            return True
        return any(needle in stream for stream in self.streams().values())

    def save(self, path: Path) -> None:
        """Write a file that Wireshark and tcpdump read."""
        with path.open("wb") as file:
            file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, FRAME, 1))
            for when, frame in self.frames:
                micro = int(when % 1 * 1e6)
                file.write(struct.pack("=IIII", int(when), micro, len(frame), len(frame)) + frame)


def open_packet_socket(interface: str) -> socket.socket:
    """A socket that sees every frame of an interface of this namespace."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    force_receive_buffer = 33  # SO_RCVBUFFORCE: beyond the system's usual limit
    opened.setsockopt(socket.SOL_SOCKET, force_receive_buffer, BUFFER)
    opened.bind((interface, ETH_P_ALL))
    return opened
