"""Faces followed through the frames of a clip: one track for each, with landmarks that do not tremble."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .align import eye_line_angle
from .detect import SURE_SCORE, WEAK_SCORE, Face, detect, overlap, upright_score
from .landmarks import box_of_landmarks, load_placer

# All of a frame is searched this often; between, and where the search misses one, faces are looked for where they were.
SEARCH_EVERY = 6
# A find and a track are one face when their boxes share this much of their union.
SAME = 0.3
# A new track needs a sure find; a known one goes on with a weak one, and is held where it was for a few frames.
HELD_FRAMES = 2
# Landmarks move by this share of the way at rest, by all of it from MOTION on (both in parts of the face's width).
AT_REST, MOTION = 0.25, 0.08
# Small grey copies of two frames that differ by this many levels on average are of two scenes.
THUMBNAIL, CUT = (32, 18), 40.0


@dataclass(frozen=True)
class Track:
    """A face in the present frame. number: the same in every frame; landmarks: float32 [68, 2] in pixels, smoothed;
    score: the detector's; missed: for how many frames it has only been held.
    """

    number: int
    landmarks: np.ndarray
    score: float
    missed: int = 0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom, as the detector would put it around the landmarks."""
        (x, y), width = box_of_landmarks(self.landmarks)
        return x - width / 2, y - width / 2, x + width / 2, y + width / 2


class FaceTracker:
    """`follow` each frame of a clip in order. landmarks: a backend of `detect`."""

    def __init__(self, landmarks: str | Path = "embedded"):
        self._backend = landmarks
        self._tracks: list[Track] = []
        self._frames = self._numbers = 0
        self._thumbnail: np.ndarray | None = None

    def follow(self, image: np.ndarray) -> list[Track]:
        """The faces of the next frame, uint8 RGB [H, W, 3]; the one that has been the main one stays first.

        Raises what `detect` raises.
        """
        thumbnail = _thumbnail(image)
        cut = self._thumbnail is not None and np.abs(thumbnail - self._thumbnail).mean() > CUT
        if cut:
            self._tracks = []
        searched = cut or self._frames % SEARCH_EVERY == 0
        found = detect(image, self._backend) if searched else []
        pairs, new = _paired(self._tracks, found)
        followed = [self._next(image, track, face) for track, face in zip(self._tracks, pairs)]
        self._tracks = [track for track in followed if track is not None]
        for face in new:
            if face.score >= SURE_SCORE:
                self._tracks.append(Track(self._numbers, face.landmarks.astype(np.float32), face.score))
                self._numbers += 1
        self._frames, self._thumbnail = self._frames + 1, thumbnail
        return list(self._tracks)

    def _next(self, image: np.ndarray, track: Track, face: Face | None) -> Track | None:
        """The track in this frame: at the face found, else where one is seen near the last place, else held or lost."""
        points, score = (face.landmarks, face.score) if face else self._look(image, track)
        if score < WEAK_SCORE:
            return replace(track, missed=track.missed + 1) if track.missed < HELD_FRAMES else None
        return Track(track.number, smoothed(track.landmarks, points), float(score))

    def _look(self, image: np.ndarray, track: Track) -> tuple[np.ndarray, float]:
        """Landmarks placed from the track's last ones, and what the detector thinks of them (-1: no face)."""
        placer = load_placer(self._backend)
        points = placer.place(image, *box_of_landmarks(track.landmarks), eye_line_angle(track.landmarks))
        return points, upright_score(image, points)

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs to go on in another process."""
        return {
            "landmarks": np.array([track.landmarks for track in self._tracks], np.float32).reshape(-1, 68, 2),
            "facts": np.array([(track.number, track.score, track.missed) for track in self._tracks]).reshape(-1, 3),
            "counts": np.array([self._frames, self._numbers]),
            **({} if self._thumbnail is None else {"thumbnail": self._thumbnail}),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes up the state of another tracker."""
        self._tracks = [
            Track(int(number), landmarks, float(score), int(missed))
            for landmarks, (number, score, missed) in zip(state["landmarks"], state["facts"])
        ]
        self._frames, self._numbers = (int(count) for count in state["counts"])
        self._thumbnail = state.get("thumbnail")


def smoothed(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Landmarks [68, 2] on the way from `before` to `now`: a part of it at rest, all of it in motion.

    What counts as motion is how far all points go together: of a face that rests, each errs in another direction.
    """
    moved = np.linalg.norm((now - before).mean(axis=0)) / max(box_of_landmarks(now)[1], 1.0)
    share = AT_REST + (1 - AT_REST) * min(moved / MOTION, 1.0)
    return (before + share * (now - before)).astype(np.float32)


def _paired(tracks: list[Track], faces: list[Face]) -> tuple[list[Face | None], list[Face]]:
    """For each track the face that overlaps it most, none twice; and the faces that are left."""
    overlaps = sorted(
        ((overlap(track.box, face.box), i, j) for i, track in enumerate(tracks) for j, face in enumerate(faces)),
        reverse=True,
    )
    chosen: dict[int, int] = {}
    for share, i, j in overlaps:
        if share >= SAME and i not in chosen and j not in chosen.values():
            chosen[i] = j
    left = [face for j, face in enumerate(faces) if j not in chosen.values()]
    return [faces[chosen[i]] if i in chosen else None for i in range(len(tracks))], left


def _thumbnail(image: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(
        np.float32
    )
