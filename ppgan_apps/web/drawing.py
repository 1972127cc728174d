"""What jobs do: an upload or some seeds in, files in the job's folder out, looking for a cancel at each picture."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import codec, images, latents, sheets, video
from ..errors import ImageError, OutputError, VideoError
from ..predictors.stylegan2 import SWEPT, Code
from .faults import REFUSED, Refusal
from .jobs import Job
from .limits import Limits, without_path
from .models import Models

PNG, MP4 = "image/png", "video/mp4"
CLIP_CRF = 20                                                  # a page's video should load quickly
FACE_CHOICES, SPACES = ("largest", "all"), ("z", "w", "direction")
LAYER_GROUPS = ("coarse", "middle", "fine")
AVATAR_SIDES = (32, 512)


@dataclass(frozen=True)
class Drawn:
    """What a job made: `after`, beside it for pages what it was made from (`before`), and whose weights drew."""
    after: Path
    media_type: str
    weights: str
    licence: str
    before: Path | None = None


class Studio:
    """Every kind of work. Each method takes its job first, and raises SuiteError for what it cannot use."""

    def __init__(self, models: Models, limits: Limits):
        self.models, self.limits = models, limits

    # Pictures

    def cartoon(self, job: Job, source: Path, faces: str = "largest", paste_back: bool = False,
                style: str | None = None) -> Drawn:
        """The main face as a cartoon, or all side by side; with `paste_back` the photo with the cartoons in it."""
        _one_of("faces", faces, FACE_CHOICES)
        photo = self._picture(job, source)
        with self.models.using("photo2cartoon", style, faces=faces, paste_back=paste_back) as predictor:
            job.checkpoint()
            if paste_back:
                photo = _bounded(photo, self.limits.drawn_side)
                return _pictures(job, predictor, photo, predictor.predict(photo))
            cartoons = predictor.draw(photo)
        columns = len(cartoons)
        before, after = (images.grid(row, columns, padding=0) for row in (
            [cartoon.photo for cartoon in cartoons], [cartoon.picture for cartoon in cartoons]))
        return _pictures(job, predictor, before, after)

    def real(self, job: Job, source: Path, style: str | None = None) -> Drawn:
        """A drawn face as a photo-like one."""
        drawing = self._picture(job, source)
        with self.models.using("anime2real", style) as predictor:
            job.checkpoint()
            real = predictor.predict(drawing)
        return _pictures(job, predictor, images.resize(drawing, (real.shape[1], real.shape[0])), real)

    def anime(self, job: Job, source: Path, style: str | None = None, adjust_brightness: bool = True) -> Drawn:
        """A whole picture as anime, at most `limits.drawn_side` on its longer side."""
        photo = _bounded(self._picture(job, source), self.limits.drawn_side)
        with self.models.using("animeganv2", style, max_size=self.limits.drawn_side,
                               use_adjust_brightness=adjust_brightness) as predictor:
            job.checkpoint()
            anime = predictor.predict(photo)
        return _pictures(job, predictor, images.resize(photo, (anime.shape[1], anime.shape[0])), anime)

    # Videos

    def clip(self, job: Job, source: Path, family: str, style: str | None = None, smooth: float = 0.0,
             max_side: int | None = None, faces: str = "all") -> Drawn:
        """A video drawn frame by frame, by animeganv2 (whole frames) or photo2cartoon (its faces), its sound kept."""
        if not 0 <= smooth <= 0.9:
            raise Refusal("bad_number", REFUSED, name="smooth", low=0, high=0.9)
        _one_of("faces", faces, FACE_CHOICES)
        job.checkpoint()
        try:
            clip = self.limits.open_clip(source)
        except VideoError as error:
            raise VideoError(without_path(error, source)) from error
        target = job.folder / "result.mp4"
        side = min(max_side or self.limits.clip_side, self.limits.clip_side)
        options = {"max_size": side} if family == "animeganv2" else {"faces": faces}
        with self.models.using(family, style, **options) as predictor:
            watched = _Watched(predictor, job, clip.count, self.limits)
            wishes = video.Wishes(side, CLIP_CRF, smooth, overwrite=True)
            try:
                video.stylise(_with_sound_that_fits(clip, target), target, watched, wishes)
            except (ImageError, VideoError) as error:          # no face in the whole of it, for example
                raise type(error)(without_path(error, source)) from error
        return Drawn(target, MP4, predictor.weights.name, predictor.weights.licence)

    # Avatars

    def avatars(self, job: Job, seeds: Sequence[int], truncation: float = 0.7, columns: int = 4, side: int = 256,
                style: str | None = None) -> Drawn:
        """A sheet with the picture of each seed, `side` pixels each."""
        self.limits.check_seeds(len(seeds))
        _between("truncation", truncation, 0, 2)
        _between("columns", columns, 1, self.limits.seeds)
        _between("side", side, *AVATAR_SIDES)
        pictures = []
        with self.models.using("stylegan2", style) as predictor:
            for number, seed in enumerate(seeds):
                job.checkpoint(number, len(seeds))
                pictures += predictor.draw_seeds([seed], truncation)
        cells = [images.resize(picture, (side, side)) for picture in pictures]
        padding = sheets.PADDING if len(cells) > 1 else 0
        return _pictures(job, predictor, None, images.grid(cells, columns, padding))

    def mixture(self, job: Job, first: int, second: int, coarse: float = 0.0, middle: float = 0.0, fine: float = 1.0,
                truncation: float = 0.7, side: int = 256, style: str | None = None) -> Drawn:
        """Three pictures: of the first seed, mixed, and of the second. `coarse`, `middle` and `fine` say how much of
        the second's styles the layers of these names take (Karras 2019, section 3.1), from 0 to 1."""
        shares = dict(zip(LAYER_GROUPS, (coarse, middle, fine)))
        for name, share in shares.items():
            _between(name, share, 0, 1)
        _between("truncation", truncation, 0, 2)
        _between("side", side, *AVATAR_SIDES)
        with self.models.using("stylegan2", style) as predictor:
            one, other = predictor.w_of_seeds([first, second], truncation)
            mixed = one.copy()
            for name, share in shares.items():
                chosen = latents.layers(name, predictor.n_latent)
                mixed[chosen] += share * (other[chosen] - one[chosen])
            pictures = []
            for number, w in enumerate((one, mixed, other)):
                job.checkpoint(number, 3)
                pictures.append(predictor.draw_code(Code(w[None])))
        cells = [images.resize(picture, (side, side)) for picture in pictures]
        return _pictures(job, predictor, None, images.grid(cells, 3, sheets.PADDING))

    def sweep(self, job: Job, seed: int, coordinate: int = 0, space: str = "direction", count: int = 8,
              truncation: float = 0.7, columns: int = 4, style: str | None = None) -> Drawn:
        """A seed's picture with one number of its latent, or its place along a direction that the weights name, going
        from -3 to 3; the value above each."""
        _one_of("space", space, SPACES)
        _between("count", count, 2, 16)
        _between("columns", columns, 1, 16)
        _between("truncation", truncation, 0, 2)
        values = np.linspace(*SWEPT, count)
        with self.models.using("stylegan2", style) as predictor:
            pictures = []
            for number, value in enumerate(values):
                job.checkpoint(number, count)
                pictures += (predictor.edit(seed, [coordinate], [value], truncation=truncation)[0]
                             if space == "direction" else
                             predictor.sweep(seed, coordinate, [value], space, truncation))
        rows = [sheets.labelled([pictures[start:start + columns]], columns=[f"{value:+.2f}" for value in
                                                                            values[start:start + columns]])
                for start in range(0, count, columns)]
        width = rows[0].shape[1]
        rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        return _pictures(job, predictor, None, np.concatenate(rows))

    def _picture(self, job: Job, source: Path) -> np.ndarray:
        job.checkpoint()
        return self.limits.read_picture(source)


class _Watched:
    """A predictor that looks at its job before each frame, so that a cancelled video stops at the next one."""

    def __init__(self, predictor: Any, job: Job, total: int | None, limits: Limits):
        self._predictor, self._job, self._total, self._limits = predictor, job, total, limits
        self._drawn = 0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._predictor, name)
        return self._counted(value) if name in ("predict_batch", "paste_faces") else value

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(frames: Sequence[np.ndarray], *rest: Any) -> Any:
            self._job.checkpoint(self._drawn, self._total)
            drawn = function(frames, *rest)
            self._drawn += len(frames)
            self._limits.check_frames(self._drawn)             # some files do not say how many they hold
            return drawn
        return counted


def _pictures(job: Job, predictor: Any, before: np.ndarray | None, after: np.ndarray) -> Drawn:
    result = images.write_image(job.folder / "result.png", after)
    given = None
    if before is not None and job.shows_before:
        given = images.write_image(job.folder / "given.png", before)
    return Drawn(result, PNG, predictor.weights.name, predictor.weights.licence, given)


def _with_sound_that_fits(clip: codec.Clip, target: Path) -> codec.Clip:
    """The clip, without its sound where an MP4 file cannot hold that as it is."""
    try:
        codec.check_sound(clip, target, target.with_name("head"))
    except OutputError:
        return replace(clip, has_sound=False)
    return clip


def _bounded(photo: np.ndarray, side: int) -> np.ndarray:
    height, width = photo.shape[:2]
    scale = side / max(height, width)
    return photo if scale >= 1 else images.resize(photo, (max(1, round(width * scale)), max(1, round(height * scale))))


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise Refusal("bad_choice", REFUSED, name=name, allowed=", ".join(allowed))


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise Refusal("bad_number", REFUSED, name=name, low=low, high=high)
