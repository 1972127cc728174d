"""Reads protocol buffers without their description: the numbers and values of a message's fields, for TensorFlow's
checkpoints and ONNX files. Whatever is wrong with a message raises ValueError with the reason."""

from __future__ import annotations

from collections.abc import Iterator

FIXED_BYTES = {1: 8, 5: 4}  # of the kinds of fields with a fixed width
VARINT, BYTES = 0, 2
Message = bytes | memoryview


def varint(data: Message, at: int) -> tuple[int, int]:
    """The number that begins at byte `at`, seven bits a byte, and where the next thing begins. Raises ValueError."""
    number = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a number does not end")


def fields(message: int | Message) -> Iterator[tuple[int, int | Message]]:
    """The fields of a message in their order: number, and value as a number or as bytes. Raises ValueError."""
    if isinstance(message, int):
        raise ValueError("a message makes no sense")
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        number, kind = tag >> 3, tag & 7
        value: int | Message
        if kind == VARINT:
            value, at = varint(message, at)
        elif kind == BYTES or kind in FIXED_BYTES:
            length, at = varint(message, at) if kind == BYTES else (FIXED_BYTES[kind], at)
            if at + length > len(message):
                raise ValueError("a message ends too early")
            part, at = message[at : at + length], at + length
            value = part if kind == BYTES else int.from_bytes(part, "little")
        else:
            raise ValueError(f"a message has a field of the unknown kind {kind}")
        yield number, value
