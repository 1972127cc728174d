"""Checksums and Snappy, against published values and an independent way to compute them."""

from __future__ import annotations

import numpy as np
import pytest

from ppgan_apps.foreign.sstable import crc32c, masked_crc32c, read_table, unpack_snappy, varint


# From RFC 3720 (iSCSI), appendix B.4, and the usual check value.
@pytest.mark.parametrize("data, expected", [
    (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C), (b"123456789", 0xE3069283), (b"", 0),
])
def test_published_checksums(data, expected):
    assert crc32c(data) == expected
    assert masked_crc32c(data) == ((expected >> 15 | (expected & 0x7FFF) << 17) + 0xA282EAD8) % 2 ** 32


@pytest.mark.parametrize("length", [1, 63, 64, 65, 127, 1000, 64 * 4096 + 17, 300_001])
def test_lanes_give_the_same_as_bit_after_bit(length):
    data = np.random.default_rng(length).integers(0, 256, length).astype(np.uint8).tobytes()
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    register = 0xFFFFFFFF
    for byte in data:
        register = register >> 8 ^ table[(register ^ byte) & 255]
    assert crc32c(data) == register ^ 0xFFFFFFFF


def test_snappy_of_every_kind_of_run():
    literal = bytes(range(100))
    packed = bytes([100 + 8 + 20 + 64]) + b"\x01" + b"\xf0" + bytes([99]) + literal  # length 192; 100 new bytes
    packed += bytes([(8 - 4) << 2 | 1, 100])                                        # 8 bytes from 100 back
    packed += bytes([(20 - 1) << 2 | 2, 1, 0])                                      # the last byte 20 times
    packed += bytes([(64 - 1) << 2 | 3, 128, 0, 0, 0])                              # 64 bytes from 128 back
    whole = literal + literal[:8] + literal[7:8] * 20
    assert unpack_snappy(packed) == whole + whole[:64]


@pytest.mark.parametrize("packed", [
    b"", b"\x80", b"\x05\x00a", b"\x01\x00ab", b"\x04\x00a\x01\x02", b"\x02\xf4\xff\xff", b"\x80\x80\x80\x80\x08",
    b"\x05\x10abcde\x01\x00", b"\x09\x10abcde\x01\x06",
])
def test_snappy_that_makes_no_sense(packed):
    with pytest.raises(ValueError):
        unpack_snappy(packed)


def test_numbers_of_seven_bits_a_byte():
    assert varint(b"\xac\x02rest", 0) == (300, 2)
    with pytest.raises(ValueError):
        varint(b"\xff" * 11, 0)


def test_what_is_no_table():
    for data in (b"", b"x" * 100):
        with pytest.raises(ValueError, match="does not end as a table"):
            read_table(data)
