"""Photo2Cartoon: a portrait photo to a flat cartoon on white. Finds, turns and cuts out the face, then draws it."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np

from .. import faces as face_tools
from .. import groups, images
from ..errors import ConfigError, ImageError
from .base import ImagePredictor, checked, read

FACES = ("largest", "all")
OLDEST = 150                                                   # years; more is a slip
# The published crop and cartoon; a network trained at another size is fed that size and its cartoon brought to this.
CROP = 256


@dataclass(frozen=True)
class Cartoon:
    """One face of a photo and what was drawn from it."""
    photo: np.ndarray                                          # uint8 [256, 256, 3]: the turned crop, white outside
    drawn: np.ndarray                                          # uint8 [256, 256, 3]: what the network made of it
    picture: np.ndarray                                        # uint8 [256, 256, 3]: the same on white, by the mask
    crop: object                                               # FaceCrop: what the network saw, its mask and its place


class Photo2CartoonPredictor(ImagePredictor):
    """Photo in, 256 x 256 cartoon of a face in it out.

    Source: minivision-ai/photo2cartoon, on U-GAT-IT (https://arxiv.org/abs/1907.10830). `faces` is "largest" (the
    face with the best size and score) or "all"; with `paste_back` the result is the whole photo with the cartoon(s) in
    place. `landmarks` and `segmenter` name backends of ppgan_apps.faces. Raises NoFaceError where there is no face.

    `age` (in years) and `sex` choose among models that were trained by group: with the folder of such a run as
    `weight_path` (ppgan_apps/stages.py) the most specific model that fits what is known draws, everybody's when nothing
    is known. Each method that draws takes them too, for that photo, and uses the constructor's where it gives none.
    ConfigError for an age or a sex that these models do not know, or for any where the weights are not those of such a
    run: a picture by a model that has not heeded them would look as if it had.
    """

    zoo_folder = "photo2cartoon"
    public = "photo2cartoon/paddlegan"
    networks = ("photo2cartoon:Photo2CartoonGenerator", "ugatit:UGATITGenerator", "unet:UnetGenerator",
                "animeganv2:AnimeGANv2Generator")
    kind = "cartoon"

    def __init__(self, output_path: str | Path = "output", weight_path: str | Path | None = None,
                 style: str | None = None, faces: str = "largest", paste_back: bool = False,
                 landmarks: str = "embedded", segmenter: str = "embedded", device: str = "auto",
                 age: float | None = None, sex: str | None = None, engine: str = "auto"):
        if faces not in FACES:
            raise ConfigError(f"faces is '{faces}': use {' or '.join(FACES)}.")
        self.groups = groups.Index.read(weight_path) if weight_path is not None else None
        self.age, self.sex = age, sex
        chosen = self._weights_for(age, sex)
        super().__init__(output_path, weight_path if chosen is None else chosen, style, device,
                         engine=engine)
        self.faces, self.paste_back = faces, paste_back
        self.landmarks, self.segmenter = landmarks, segmenter
        self._asked_engine = engine
        self._drawers = {chosen: self}                         # path of weights -> what draws with them

    def _weights_for(self, age: float | None, sex: str | None) -> Path | None:
        """The weights for a person, None where the models are not trained by group. Raises ConfigError."""
        if age is not None and (isinstance(age, bool) or not isinstance(age, Real) or not math.isfinite(age)
                                or not 0 <= age <= OLDEST):
            raise ConfigError(f"age is {age!r}: give a number of years from 0 to {OLDEST}.")
        if self.groups is not None:
            return self.groups.choose(age=age, sex=sex)
        if age is not None or sex is not None:
            raise ConfigError(f"age and sex choose among models trained by group, which these weights are not: give "
                              f"the folder of such a run, with its {groups.INDEX}, as weight path, or leave them out.")
        return None

    def _drawer(self, age: float | None, sex: str | None) -> Photo2CartoonPredictor:
        """The predictor whose network draws this person: this one, or one kept for another group."""
        chosen = self._weights_for(self.age if age is None else age, self.sex if sex is None else sex)
        if chosen not in self._drawers:
            self._drawers[chosen] = type(self)(self.output_path, chosen, device=self.device,
                                               engine=self._asked_engine)
        return self._drawers[chosen]

    def predict(self, image: np.ndarray, age: float | None = None, sex: str | None = None) -> np.ndarray:
        """uint8 RGB photo -> uint8 RGB cartoon [256, 256, 3] of its main face; with `paste_back` the photo, changed."""
        return self._result(checked(image), self.draw(image, age=age, sex=sex))

    def predict_batch(self, batch: Sequence[np.ndarray], age: float | None = None,
                      sex: str | None = None) -> list[np.ndarray]:
        """`predict` of each photo, the faces of all of them drawn together. Raises ImageError naming the photo."""
        drawer = self._drawer(age, sex)
        found = []
        for index, image in enumerate(batch):
            try:
                found.append(self._crops(checked(image)))
            except ImageError as error:
                raise type(error)(f"Picture {index} of the batch: {error}") from error
        drawn = iter(drawer._cartoons([pair for pairs in found for pair in pairs]))
        return [self._result(image, [next(drawn) for _ in pairs]) for image, pairs in zip(batch, found, strict=True)]

    def predict_all(self, image: np.ndarray, age: float | None = None, sex: str | None = None) -> list[np.ndarray]:
        """One cartoon for each face that `faces` asks for, best face first; with `paste_back` one photo with all."""
        cartoons = self.draw(image, age=age, sex=sex)
        return [self._result(image, cartoons)] if self.paste_back else [cartoon.picture for cartoon in cartoons]

    def draw(self, image: np.ndarray, name: str | Path | np.ndarray | None = None, age: float | None = None,
             sex: str | None = None) -> list[Cartoon]:
        """Every cartoon of a photo with the crop it was drawn from, best face first. Raises NoFaceError."""
        drawer = self._drawer(age, sex)                        # first: a wrong value should cost no time
        return drawer._cartoons(self._crops(checked(image, name), name))

    def paste_faces(self, photos: Sequence[np.ndarray], faces: Sequence[Sequence]) -> list[np.ndarray]:
        """Each uint8 RGB photo with its `faces` (anything with `.landmarks` [68, 2], the main one first) drawn and
        pasted back, those of all photos drawn together; a photo without faces comes back as it is."""
        crops = [[self._crop(photo, face) for face in found] for photo, found in zip(photos, faces, strict=True)]
        every = [pair for pairs in crops for pair in pairs]
        drawn = iter(self._cartoons(every) if every else ())
        return [_pasted(photo, [next(drawn) for _ in pairs]) for photo, pairs in zip(photos, crops, strict=True)]

    def run(self, image: str | Path | np.ndarray, age: float | None = None, sex: str | None = None) -> np.ndarray:
        """Writes p2c_photo.png (the turned crop) and p2c_cartoon.png, and returns what `predict` does.

        With `faces="all"` the second face's files end in _2 and so on; with `paste_back` p2c_pasted.png is the photo.
        """
        photo = read(image)
        cartoons = self.draw(photo, image, age, sex)
        result = self._result(photo, cartoons)
        pictures = {}
        for number, cartoon in enumerate(cartoons, 1):
            ending = f"_{number}" if number > 1 else ""
            pictures.update({f"p2c_photo{ending}": cartoon.photo, f"p2c_cartoon{ending}": cartoon.picture})
        self._write(**pictures, **({"p2c_pasted": result} if self.paste_back else {}))
        return result

    def _crops(self, image: np.ndarray, name: str | Path | np.ndarray | None = None) -> list[tuple]:
        """(the turned crop, the FaceCrop on white with its mask) of each face asked for."""
        return [self._crop(image, face)
                for face in face_tools.wanted_faces(image, self.faces, self.landmarks, name)]

    def _crop(self, image: np.ndarray, face) -> tuple:
        crop = face_tools.crop_face(image, face, size=CROP)
        return crop.image, face_tools.cut_out(crop, face, image.shape[:2], self.segmenter)

    def _cartoons(self, crops: list[tuple]) -> list[Cartoon]:
        side = self.weights.size or CROP
        fed = images.to_array([images.resize(crop.image, (side, side)) for _, crop in crops])  # [N, 3, side, side]
        drawn = [images.resize(picture, (CROP, CROP)) for picture in images.to_images(self._run_network(fed))]
        return [Cartoon(photo, picture, face_tools.on_white(picture, crop.mask), crop)
                for picture, (photo, crop) in zip(drawn, crops, strict=True)]

    def _result(self, image: np.ndarray, cartoons: list[Cartoon]) -> np.ndarray:
        return _pasted(image, cartoons) if self.paste_back else cartoons[0].picture


def _pasted(image: np.ndarray, cartoons: list[Cartoon]) -> np.ndarray:
    for cartoon in reversed(cartoons):                         # the best face last, so that it lies on top
        image = face_tools.paste_back(image, cartoon.crop, cartoon.drawn)
    return image
