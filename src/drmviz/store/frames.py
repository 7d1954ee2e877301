"""The envelope of every BLOB: sequence, length and CRC-32 before the payload, so that damage is seen, never drawn."""

from __future__ import annotations

import struct
import zlib

_HEADER = struct.Struct("<QII")  # sequence, payload length, CRC-32 of the first twelve bytes and the payload
HEADER_BYTES = _HEADER.size


class DamagedFrameError(ValueError):
    """A BLOB is not what was written; says in words what differs."""


def framed(sequence: int, payload: bytes | memoryview) -> bytes:
    """Return the payload behind its header."""
    head = struct.pack("<QI", sequence, len(payload))
    checksum = zlib.crc32(payload, zlib.crc32(head))
    return b"".join((_HEADER.pack(sequence, len(payload), checksum), payload))


def unframed(blob: bytes, *, sequence: int) -> memoryview:
    """Return the payload.

    Raises:
        DamagedFrameError: sequence, length or checksum differ.
    """
    if len(blob) < HEADER_BYTES:
        raise DamagedFrameError(f"{len(blob)} bytes are shorter than a header")
    found, length, checksum = _HEADER.unpack_from(blob)
    payload = memoryview(blob)[HEADER_BYTES:]
    if found != sequence:
        raise DamagedFrameError(f"it says that it is number {found} where {sequence} belongs")
    if length != len(payload):
        raise DamagedFrameError(f"{len(payload)} bytes are there where {length} were written")
    if zlib.crc32(payload, zlib.crc32(blob[:12])) != checksum:
        raise DamagedFrameError("its checksum differs")
    return payload
