"""Reads a LevelDB table, the format of a TensorFlow checkpoint's index: sorted keys with values, checksummed in blocks.

Layout: blocks, one after another, each followed by a byte (0 plain, 1 Snappy) and a checksum; among them an index block
whose values tell where the others lie; a footer that tells where the index block lies. A block shortens each key by
what it shares with the one before. Formats: doc/table_format.md of google/leveldb, format_description.txt of
google/snappy. Whatever is wrong with a table raises ValueError with the reason.
"""

from __future__ import annotations

import functools

import numpy as np

from ..protobuf import varint

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
PLAIN, SNAPPY = 0, 1
TRAILER_BYTES = 5  # how the block is packed, and its checksum
MAX_BLOCK_BYTES = 4 << 20  # unpacked; TensorFlow's are of 256 KiB
MAX_TABLE_BYTES = 64 << 20  # of all keys and values together: a key of few bytes may share many with the one before
CRC32C_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
MASK_DELTA = 0xA282EAD8


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Every key of a table with its value, in the table's order. Raises ValueError."""
    if len(data) < FOOTER_BYTES or int.from_bytes(data[-8:], "little") != MAGIC:
        raise ValueError("it does not end as a table does")
    footer = data[-FOOTER_BYTES:]
    _, at = _handle(footer, 0)  # of the metaindex block, which TensorFlow leaves empty
    index, _ = _handle(footer, at)
    entries: dict[bytes, bytes] = {}
    end, left = 0, MAX_TABLE_BYTES
    for _, value in _entries(_block(data, index), left):
        handle, _ = _handle(value, 0)
        if handle[0] < end:  # else a small index could have the same block unpacked a million times
            raise ValueError("its blocks overlap or are out of order")
        end = sum(handle)
        inside = _entries(_block(data, handle), left)
        left -= sum(len(key) + len(part) for key, part in inside)
        entries.update(inside)
    return entries


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Where a block lies (offset, size), and where the next thing begins."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    offset, size = handle
    end = offset + size
    if end + TRAILER_BYTES > len(data):
        raise ValueError("a block lies beyond its end")
    if masked_crc32c(data[offset : end + 1]) != int.from_bytes(data[end + 1 : end + TRAILER_BYTES], "little"):
        raise ValueError("a block differs from its checksum")
    packing = data[end]
    if packing not in (PLAIN, SNAPPY):
        raise ValueError(f"a block is packed in the unknown way {packing}")
    return data[offset:end] if packing == PLAIN else unpack_snappy(data[offset:end])


def _entries(block: bytes, most: int) -> list[tuple[bytes, bytes]]:
    """The keys and values of a block, of at most `most` bytes. Its last numbers, where keys are written in full, are
    for searching only."""
    if len(block) < 4:
        raise ValueError("a block is too short")
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    entries, key, at = [], b"", 0
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + own + length > end:
            raise ValueError("an entry of a block does not fit into it")
        most -= shared + own + length
        if most < 0:
            raise ValueError(f"it holds more than {MAX_TABLE_BYTES >> 20} MiB")
        key = key[:shared] + block[at : at + own]
        entries.append((key, block[at + own : at + own + length]))
        at += own + length
    if at != end:
        raise ValueError("a block does not hold what it announces")
    return entries


def unpack_snappy(data: bytes) -> bytes:
    """A Snappy block unpacked: runs of new bytes, and copies of what was written before. Raises ValueError."""
    length, at = varint(data, 0)
    if length > MAX_BLOCK_BYTES:
        raise ValueError(f"a block would unpack to {length} bytes")
    out = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        if tag & 3 == 0:  # new bytes; from 60 on their number less one stands in the next 1 to 4 bytes
            count, more = tag >> 2, max(0, (tag >> 2) - 59)
            count = int.from_bytes(data[at : at + more], "little") if more else count
            at += more
            run = data[at : at + count + 1]
            if len(run) != count + 1:
                raise ValueError("a packed block ends too early")
            out += run
            at += count + 1
        else:  # a copy, with 11, 16 or 32 bits for how far back it begins
            width = {1: 1, 2: 2, 3: 4}[tag & 3]
            back = int.from_bytes(data[at : at + width], "little")
            at += width
            count = (tag >> 2) + 1
            if width == 1:
                back, count = back | (tag >> 5) << 8, (tag >> 2 & 7) + 4
            if not 0 < back <= len(out):
                raise ValueError("a packed block copies from before its beginning")
            start = len(out) - back
            piece = out[start : start + count]
            out += (piece * (count // len(piece) + 1))[:count]  # a copy may run into what it writes
        if len(out) > length:
            raise ValueError("a packed block unpacks to more than it announces")
    if len(out) != length:
        raise ValueError("a packed block unpacks to less than it announces")
    return bytes(out)


# ---------------------------------------------------------------------------------------------------------------------
# Checksums
# ---------------------------------------------------------------------------------------------------------------------
def masked_crc32c(data: bytes | memoryview) -> int:
    """CRC-32C as LevelDB and TensorFlow store it: turned and moved, since the checksum of data that holds its own
    checksum is a poor one."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C (Castagnoli) of bytes.

    The bytes are cut into equal lanes whose registers move on together. A register is linear in what it held before:
    following also the 32 single bits through as many zero bytes tells how to put the lanes' results together.
    """
    numbers = np.frombuffer(data, np.uint8)
    lanes = max(1, min(4096, len(numbers) // 64))
    width = len(numbers) // lanes
    body = numbers[: lanes * width].reshape(lanes, width)
    # The bits' own lanes are fed zeros.
    columns = np.ascontiguousarray(np.concatenate([body, np.zeros((32, width), np.uint8)]).T)
    registers = np.concatenate([np.zeros(lanes, np.uint32), np.uint32(1) << np.arange(32, dtype=np.uint32)])
    table = _crc_table()
    for column in columns:
        registers = table[(registers ^ column) & 255] ^ registers >> 8
    moved_bits = [int(bit) for bit in registers[lanes:]]
    register = 0xFFFFFFFF
    for lane in registers[:lanes]:
        moved = (moved_bits[bit] for bit in range(32) if register >> bit & 1)
        register = functools.reduce(int.__xor__, moved, int(lane))
    for byte in numbers[lanes * width :]:
        register = int(table[(register ^ int(byte)) & 255]) ^ register >> 8
    return register ^ 0xFFFFFFFF


@functools.cache
def _crc_table() -> np.ndarray:
    """What each byte does to a register that is otherwise empty, uint32 [256]."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(CRC32C_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)
