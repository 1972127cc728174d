"""Clips with sound, made by PyAV, and what a finished one holds: for tests of videos."""
from fractions import Fraction

import numpy as np


def scene(number, size):
    """Frame `number` of a plain moving scene: a slope of colours with a white square that goes right."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([columns * 255 // width, rows * 255 // height, np.full((height, width), 90)], axis=2)
    side = height // 4
    left = number * 3 % (width - side)
    picture[side:2 * side, left:left + side] = 255
    return picture.astype(np.uint8)


def write(path, frames=36, size=(160, 96), rate=24, times=None, sound=True, picture=scene, codec="libx264"):
    """A clip of `frames` frames, shown at `times` (in 1/600 s) or evenly, with a stereo tone as long as it."""
    import av
    base = Fraction(1, 600) if times is not None else Fraction(1, rate)
    times = range(frames) if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "12"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = base
        tone = container.add_stream("aac", rate=44100, layout="stereo") if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = time, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            _write_tone(av, container, tone, float((times[-1] + 1) * base))
    return path


def _write_tone(av, container, stream, seconds):
    for start in range(0, int(seconds * 44100), 1024):
        wave = np.sin(2 * np.pi * 440 * (start + np.arange(1024)) / 44100).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, -wave]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def turn(path, degrees):
    """Has an MP4 file say that its video is to be shown turned clockwise: the matrix of each track header with a size
    (ISO 14496-12, tkhd)."""
    one = 1 << 16
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd")
    while place >= 0:
        sizes = np.frombuffer(bytes(data[place + 80:place + 88]), ">u4")
        if sizes.all():                                        # a sound track has none
            data[place + 44:place + 80] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
        place = data.find(b"tkhd", place + 4)
    path.write_bytes(bytes(data))
    return path


def frames(path):
    """(time in seconds as a Fraction, uint8 RGB) of each frame as it is stored."""
    import av
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.reformat(format="rgb24", dst_colorspace="itu601").to_ndarray())
                for frame in container.decode(video=0)]


def packets(path):
    """(stream, pts, dts, duration, sum of the bytes) of every packet, in the file's order."""
    import hashlib

    import av
    with av.open(str(path)) as container:
        return [(packet.stream.index, packet.pts, packet.dts, packet.duration,
                 hashlib.sha256(bytes(packet)).hexdigest())
                for packet in container.demux() if packet.size]


def sound(path):
    """(pts, dts, duration, bytes) of every sound packet, and the stream's time base and codec's own header."""
    import av
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        packets = [(packet.pts, packet.dts, packet.duration, bytes(packet)) for packet in container.demux(stream)
                   if packet.size]
        return packets, stream.time_base, stream.codec_context.extradata, stream.codec_context.name


def length(path):
    """Seconds, as the file's head states them."""
    import av
    with av.open(str(path)) as container:
        return container.duration / 1_000_000
