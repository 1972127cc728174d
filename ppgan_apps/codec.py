"""Clips through PyAV (the extra `video`): frames with their times in, H.264 out, the sound copied packet by packet."""
from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from . import images
from .errors import ImageError, MissingExtra, OutputError, VideoError

# What a clip can be written as: suffix -> FFmpeg's name of the container.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# What a container says of itself, not of the film in it.
CONTAINERS_OWN = ("major_brand", "minor_version", "compatible_brands", "encoder")
ENCODERS = ("libx264", "libopenh264", "mpeg4")                 # the first that this build of FFmpeg has
# One thread: how x264 divides its work among threads changes the file, and it should be the same on every machine.
# No B-frames: a frame is then stored where it is shown, so that parts encoded apart join at any distance in time.
# No macroblock tree: with it the same pictures sometimes gave other packets in a busy process (1 run in 3 to 30, of 240
# observed; without it none of 120), and a resumed run promises the bytes of an unbroken one.
OPTIONS = {"preset": "medium", "threads": "1", "bf": "0", "mbtree": "0"}
CRF = 16                                                       # x264's constant quality: nobody sees the difference
# FFmpeg's numbers: of BT.709 in all three colour properties, of a matrix that is not stated.
BT709, UNSTATED = 1, 2
HD_ROWS = 720                                                  # from here on players take BT.709 when nothing is stated
TV_RANGE = 1
# What FFmpeg may take a file for: with any other of its kinds a text file named .mp4 could have it open other files
# (playlists, lists to concatenate) or addresses.
READ_CONTAINERS = ("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo",
                   "asf", "flv", "ogg", "nut", "gif", "ivf", "h264", "hevc", "m4v", "obu", "yuv4mpegpipe")
READ_OPTIONS = {"format_whitelist": ",".join(READ_CONTAINERS), "protocol_whitelist": "file"}
CODEC_RATE = Fraction(25)                                      # told to the encoder where a clip does not state a rate


@dataclass(frozen=True)
class Frame:
    """One upright frame. picture: uint8 RGB [H, W, 3]; pts, duration: in the clip's time base, 0 when not stated."""
    picture: np.ndarray
    pts: int
    duration: int = 0


@dataclass(frozen=True)
class Clip:
    """What is known of a clip before its frames are read; `read` gives them.

    size: (width, height) of the upright frames; rate: frames a second, on average; aspect: width by height of a pixel;
    count: how many frames there will be, None where nothing tells; read(skip): the frames from number `skip` on;
    origin: the time of `--start` in seconds, already taken off every frame's pts; end: None or the last moment.
    """
    path: Path
    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    count: int | None
    read: Callable[[int], Iterator[Frame]]
    origin: Fraction = Fraction(0)
    end: Fraction | None = None
    has_sound: bool = False


def pyav() -> Any:
    """The module av. Raises MissingExtra."""
    try:
        import av
    except ImportError:
        raise MissingExtra("av", "video", "Reading or writing a video") from None
    return av


# Reading

def open_clip(path: str | Path, start: Fraction | None = None, end: Fraction | None = None,
              tell: Callable[[str], None] | None = None) -> Clip:
    """The first video stream of any file that FFmpeg reads, from `start` to just before `end` (seconds).

    A rotation that the file states is applied to the frames, as players do, so that the network sees them upright.
    Frames that are damaged are left out; `tell` is then called with a sentence when all are read. Raises VideoError: no
    such file, no video in it, or nothing that can be read between `start` and `end`; `read` raises it too.
    """
    path = Path(path)
    if not path.is_file():
        raise VideoError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}: give the path of a video.")
    with _opened(path) as container:
        stream = _video_stream(container, path)
        _check_frame(stream, path)
        time_base, rate = stream.time_base, stream.average_rate or stream.guessed_rate or CODEC_RATE
        aspect, has_sound = stream.sample_aspect_ratio or Fraction(1), bool(container.streams.audio)
        length = stream.duration * time_base if stream.duration else Fraction(container.duration or 0, 1_000_000)
        count = stream.frames or (round(length * rate) if length else None)
    first = next(_decode(path, start, end, Fraction(0), 0), None)
    if first is None:
        raise VideoError(f"{path} has no frame {_between(start, end)}: it is {float(length):.2f} seconds long.")
    if count and (start or end):
        until = min(length, end) if end else length
        count = max(1, round((until - (start or 0)) * rate))
    origin = first.pts * time_base if start else Fraction(0)   # so that the first frame is shown at once
    height, width = first.picture.shape[:2]
    if first.turned:
        aspect = 1 / aspect

    def read(skip: int = 0) -> Iterator[Frame]:
        frames = _decode(path, start, end, origin, skip, tell)
        first = next(frames, None)
        if first is None and not skip:
            # There was one a moment ago: what several threads save of a damaged file is not the same each time.
            raise VideoError(f"{path} is damaged: none of its frames could be decoded; use another file.")
        yield from [first] if first is not None else []
        yield from frames
    return Clip(path, (width, height), time_base, Fraction(rate), Fraction(aspect), count, read, origin, end, has_sound)


def open_folder(folder: str | Path, rate: Fraction) -> Clip:
    """The pictures of a folder, sorted by name, as a clip of `rate` frames a second. Raises ImageError."""
    paths = images.find_images(folder, recursive=False)
    height, width = images.read_image(paths[0]).shape[:2]

    def read(skip: int = 0) -> Iterator[Frame]:
        for number in range(skip, len(paths)):
            yield Frame(images.resize(images.read_image(paths[number]), (width, height)), number, 1)
    return Clip(Path(folder), (width, height), 1 / rate, rate, Fraction(1), len(paths), read)


def _between(start: Fraction | None, end: Fraction | None) -> str:
    span = [f"from {float(start):g} s" if start else "", f"before {float(end):g} s" if end is not None else ""]
    return " ".join(filter(None, span)) or "that can be read"


def _opened(path: Path) -> Any:
    av = pyav()
    try:
        return av.open(f"file:{path}", options=READ_OPTIONS)   # "file:": a name such as "concat:a|b" is a name
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path} is no video that can be read ({reason(error)}): use another file.") from None


def reason(error: BaseException) -> str:
    """Why FFmpeg or the system refused, in one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def _video_stream(container: Any, path: Path) -> Any:
    from av.stream import Disposition
    for stream in container.streams.video:
        # The cover of an album is no video; a stream of an unknown codec has no size and no way to be decoded.
        if not stream.disposition & Disposition.attached_pic and stream.codec_context and stream.time_base:
            stream.thread_type = "AUTO"
            return stream
    raise VideoError(f"{path} holds no video{', only sound' if container.streams.audio else ''}: use another file.")


def _check_frame(stream: Any, path: Path) -> None:
    """Raises VideoError for frames, decoded or as the file announces them, of too many pixels."""
    try:
        images.check_pixels(stream.width or 0, stream.height or 0, f"A frame of {path}")
    except ImageError as error:
        raise VideoError(str(error)) from None


@dataclass(frozen=True)
class _Decoded(Frame):
    turned: bool = False                                       # by a quarter, so that width and height changed places


def _decode(path: Path, start: Fraction | None, end: Fraction | None, origin: Fraction, skip: int,
            tell: Callable[[str], None] | None = None) -> Iterator[_Decoded]:
    """The frames from `start` to before `end`, their pts less `origin`, without the first `skip` of them.

    Their times increase: a frame without one, or at the time of the one before it, comes one step later. Frames that
    change in size within a clip are brought to the first's.
    """
    with _opened(path) as container:
        stream = _video_stream(container, path)
        base: Fraction = stream.time_base
        faults: list[str] = []
        step = max(1, round(1 / ((stream.average_rate or CODEC_RATE) * base)))
        shift, last, size, number = round(origin / base), None, None, 0
        if start:
            container.seek(int(start / base), stream=stream)   # to the key frame before it
        for frame in _frames(container, stream, faults):
            pts = frame.pts if frame.pts is not None else (0 if last is None else last + step)
            if start and pts * base < start:
                continue
            if end is not None and pts * base >= end:
                break
            last = pts = pts if last is None or pts > last else last + 1
            number += 1
            if number <= skip:
                size = size or _upright_size(frame)
                continue
            _check_frame(frame, path)                          # a stream may change its size on the way
            try:
                picture, turned = _upright(frame)
            except (pyav().FFmpegError, ValueError, MemoryError) as error:
                faults.append(reason(error))
                continue
            size = size or picture.shape[1::-1]
            yield _Decoded(images.resize(picture, size), pts - shift, frame.duration or step, turned)
    if faults and tell:
        tell(f"{path} is damaged ({faults[0]}): {len(faults)} packets could not be decoded and are left out.")


def _frames(container: Any, stream: Any, faults: list[str]) -> Iterator[Any]:
    """What can be decoded; why the rest cannot goes into `faults`, one for each packet."""
    error_type = pyav().FFmpegError
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except error_type as error:                            # nothing more can be read
            faults.append(reason(error))
            return
        try:
            yield from packet.decode()
        except error_type as error:
            faults.append(reason(error))


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """a, b, c, d of x' = a x + c y, y' = b x + d y, by which players show the frame (y down); 1, 0, 0, 1 if none."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    return a, b, c, d


def _upright_size(frame: Any) -> tuple[int, int]:
    a, b, _, _ = _display_matrix(frame)
    return (frame.height, frame.width) if abs(b) > abs(a) else (frame.width, frame.height)


def _upright(frame: Any) -> tuple[np.ndarray, bool]:
    """uint8 RGB [H, W, 3] as it is shown, to the nearest quarter turn, and whether width and height changed places."""
    # A frame that does not state its matrix is shown by that of its size. PyAV before 17 reads right only for "itu601".
    guessed = "itu709" if frame.colorspace == UNSTATED and frame.height >= HD_ROWS else None
    picture = frame.reformat(format="rgb24", src_colorspace=guessed, dst_colorspace="itu601").to_ndarray()
    a, b, c, d = _display_matrix(frame)
    turned = abs(b) > abs(a)
    if turned:
        picture, a, d = picture.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(picture[::-1 if d < 0 else 1, ::-1 if a < 0 else 1]), turned


# Writing

class Encoder:
    """Context: a file of one H.264 stream, made of uint8 RGB pictures of one size, each with its own time.

    Sides that are odd grow by a pixel, the last row or column repeated: colours are stored for each two pixels.
    Raises OutputError.
    """

    def __init__(self, path: str | Path, container: str, size: tuple[int, int], time_base: Fraction,
                 rate: Fraction = CODEC_RATE, aspect: Fraction = Fraction(1), crf: int = CRF):
        av = pyav()
        name = next((name for name in ENCODERS if name in av.codecs_available), None)
        if name is None:
            raise OutputError(f"This PyAV has none of the encoders {', '.join(ENCODERS)}: install another build.")
        self.path, self._av, self._time_base = Path(path), av, time_base
        self._container = av.open(str(path), "w", format=container, options=_container_options(container))
        options = {**OPTIONS, "crf": str(crf)} if name == "libx264" else {}
        self._stream = stream = self._container.add_stream(name, rate=rate.limit_denominator(1001), options=options)
        stream.width, stream.height = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"                             # what every player can show
        context = stream.codec_context
        context.time_base, context.sample_aspect_ratio = time_base, aspect
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = TV_RANGE

    def __enter__(self) -> Encoder:
        return self

    def write(self, picture: np.ndarray, pts: int) -> None:
        """picture: uint8 RGB [H, W, 3]; pts: when it is shown, in the time base; later than the picture before it."""
        height, width = picture.shape[:2]
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="itu709")
        frame.pts, frame.time_base = pts, self._time_base
        self._container.mux(self._stream.encode(frame))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()


def _container_options(container: str) -> dict[str, str]:
    if container == "matroska":
        return {"fflags": "bitexact"}                          # else each file has a random number of its own
    return {"movflags": "faststart"} if container in ("mp4", "mov") else {}  # plays while it is still being loaded


def container_of(target: str | Path) -> str:
    """FFmpeg's name of the container that a file name asks for. Raises OutputError."""
    suffix = Path(target).suffix.lower()
    if suffix not in CONTAINERS:
        raise OutputError(f"{target} has no suffix of a video that can be written: use {', '.join(CONTAINERS)}.")
    return CONTAINERS[suffix]


def check_sound(clip: Clip, target: Path, scratch: Path) -> None:
    """Raises OutputError where the sound of `clip` cannot be copied into the container that `target` asks for.

    FFmpeg says so when it writes the file's head, so a head is written to `scratch`.
    """
    if not clip.has_sound:
        return
    av = pyav()
    with _opened(clip.path) as source:
        names = ", ".join(sorted({stream.codec_context.name for stream in source.streams.audio}))
        try:
            with av.open(str(scratch), "w", format=container_of(target)) as container:
                for stream in source.streams.audio:
                    container.add_stream_from_template(stream)
                container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            raise OutputError(f"The sound of {clip.path} ({names}) cannot be copied into a {target.suffix} file "
                              f"({reason(error)}): use a name that ends in .mkv.") from None
        finally:
            scratch.unlink(missing_ok=True)


def join(parts: Sequence[tuple[Path, int]], clip: Clip, target: Path, container: str, last_duration: int) -> None:
    """Writes the packets of the parts, (file, pts of its first frame) each, and those of the clip's sound.

    No packet is encoded anew. Each frame lasts until the next, the last `last_duration`.
    """
    av = pyav()
    with av.open(str(parts[0][0])) as first, av.open(str(target), "w", format=container,
                                                     options=_container_options(container)) as output:
        picture_stream = output.add_stream_from_template(first.streams.video[0])
        picture_stream.time_base = clip.time_base
        packets = [_picture_packets(parts, clip.time_base, picture_stream, last_duration)]
        source = None
        try:
            if clip.has_sound:
                source = _opened(clip.path)
                output.metadata.update({name: text for name, text in source.metadata.items()
                                        if name not in CONTAINERS_OWN})
                packets.append(_sound_packets(source, output, clip))
            for packet in heapq.merge(*packets, key=lambda packet: packet.dts * packet.time_base):
                output.mux(packet)
        finally:
            if source:
                source.close()


def _picture_packets(parts: Iterable[tuple[Path, int]], time_base: Fraction, stream: Any, last_duration: int
                     ) -> Iterator[Any]:
    previous = None
    for path, offset in parts:
        with pyav().open(str(path)) as container:
            for packet in container.demux(video=0):
                if packet.dts is None:                         # the end of the file
                    continue
                # The part's own time base may be a fraction of the clip's; without B-frames pts and dts are the same.
                pts = offset + round(packet.pts * packet.time_base / time_base)
                packet.pts = packet.dts = pts
                packet.time_base = time_base
                if previous is not None:
                    previous.duration = packet.pts - previous.pts
                    yield previous
                packet.stream, previous = stream, packet
    if previous is not None:
        previous.duration = last_duration
        yield previous


def _sound_packets(source: Any, output: Any, clip: Clip) -> Iterator[Any]:
    """The clip's sound packets between its origin and its end, moved by the origin."""
    streams = {}
    for stream in source.streams.audio:
        streams[stream.index] = output.add_stream_from_template(stream)
        streams[stream.index].metadata.update(stream.metadata)
    return _copied(source, streams, clip)


def _copied(source: Any, streams: dict[int, Any], clip: Clip) -> Iterator[Any]:
    for packet in source.demux(*source.streams.audio):
        if packet.dts is None:
            continue
        time = packet.dts * packet.time_base
        if (clip.origin and time < clip.origin) or (clip.end is not None and time >= clip.end):
            continue
        shift = round(clip.origin / packet.time_base)
        packet.pts = (packet.pts if packet.pts is not None else packet.dts) - shift
        packet.dts -= shift
        packet.stream = streams[packet.stream.index]
        yield packet
