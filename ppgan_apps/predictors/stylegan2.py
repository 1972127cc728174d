"""StyleGAN2: pictures from seeds, mixtures, walks, sweeps, edits, and the latent of a given picture."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import engines, images, latents, weights
from ..errors import ConfigError, WeightsError
from ..mapping import Mapping
from .base import Predictor, read

# PaddleGAN's names and the zoo's; "avatars" is the model in the package.
MODEL_TYPES = {
    "ffhq-config-f": "stylegan2/ffhq",
    "animeface-512": "stylegan2/animeface-512",
    "avatars": "stylegan2/avatars",
}
TRUNCATION = 0.7
BLACK = 0
SWEPT = (-3.0, 3.0)                                            # values of one number of z, or deviations of one of w
MEAN_SAMPLES = 10_240                                          # z whose mean w stands in for one that is not stored
DEVIATION_SAMPLES = 1000                                       # w's that measure how far w spreads
CODE = "stylegan2-code"                                        # where a code's file says what it is


@dataclass(frozen=True)
class Code:
    """What a picture is drawn from: w [1, n_latent, style_dim], and noise maps [1, 1, H, H] when they are its own."""

    w: np.ndarray
    noise: tuple[np.ndarray, ...] | None = None


class StyleGAN2Predictor(Predictor):
    """Pictures of a trained StyleGAN2; the same seed gives the same pictures, however many are asked for at a time.

    `run` and `sample` draw the pictures of one seed in PaddleGAN's order. The other methods name each picture by a seed
    of its own, as NVlabs' generators do, and return pictures without writing them. Where they take `truncation` and
    `cutoff`, w is pulled to its mean in the layers below `cutoff`, or in all. Noise is what is stored with the weights.

    Source: https://arxiv.org/abs/1912.04958. `model_type` is one of `MODEL_TYPES`; without it and `weight_path` the
    published ffhq-config-f is used where it is at hand, else the embedded avatars, at their own size. `size`,
    `style_dim`, `n_mlp` and `channel_multiplier` count for a weight file that does not state them. Without a `seed`
    every predictor draws others.
    """

    zoo_folder = "stylegan2"
    public = "stylegan2/ffhq"
    networks = ("stylegan2:StyleGAN2Generator",)
    layers_needed = True

    def __init__(self, output_path: str | Path = "output", weight_path: str | Path | None = None,
                 model_type: str | None = None, seed: int | None = None, size: int = 1024, style_dim: int = 512,
                 n_mlp: int = 8, channel_multiplier: int = 2, device: str = "auto", engine: str = "auto"):
        if model_type is not None and model_type not in MODEL_TYPES:
            raise ConfigError(f"There is no model_type '{model_type}': use {', '.join(MODEL_TYPES)}.")
        if seed is not None and not 0 <= seed < 2**32:
            raise ConfigError(f"The seed is {seed}: use a number from 0 to {2**32 - 1}.")
        if size < 4 or size & (size - 1):
            raise ConfigError(f"The size is {size}: use a power of two of at least 4.")
        arguments = {"size": size, "style_dim": style_dim, "n_mlp": n_mlp, "channel_multiplier": channel_multiplier}
        self._networks: list[Any] = []                         # of one, see `network`; copies of this share it
        self._arguments: dict[str, Any] = arguments
        super().__init__(output_path, weight_path, MODEL_TYPES.get(model_type), device, arguments, engine)
        self.seed = np.random.RandomState().randint(2**31) if seed is None else seed
        self._arguments = dict(self.weights.network or arguments)
        built = {**arguments, **self._arguments}
        self.size, self.style_dim = int(built["size"]), int(built["style_dim"])
        self._mapping = None if self.is_exported else self._read_mapping(int(built["n_mlp"]))
        fixed = self.weights.metadata.get("truncation")
        self.truncation = TRUNCATION if fixed is None else float(fixed)
        self.mean_w = self._mean_w()                           # [1, style_dim]
        self._samples: np.ndarray | None = None                # see samples_of_w

    @property
    def network(self):
        """The generator: a Layer, read when it is first asked for where another engine draws; or an exported one."""
        if not self._networks:
            self._networks.append(self._load_network(self._arguments))
        return self._networks[0]

    @network.setter
    def network(self, network) -> None:
        self._networks[:] = [network]

    def _take(self, found) -> None:
        super()._take(found)
        self._networks.clear()

    @property
    def is_exported(self) -> bool:
        return bool(self._networks) and isinstance(self._networks[0], engines.ExportedNetwork)

    def _read_mapping(self, n_mlp: int) -> Mapping:
        return Mapping(weights.read_weights(self.weights.path, self.weights.part, self.weights.layout), n_mlp)

    def sample(self, count: int = 1, seed: int | None = None, truncation: float | None = None,
               first: int = 0) -> list[np.ndarray]:
        """Pictures number `first` to `first + count - 1` of a seed, uint8 RGB [size, size, 3] each.

        A picture depends on its number and the seed, not on `count`. `truncation` pulls the latents to their mean: 1
        leaves them, 0 gives the mean picture; it is 0.7, or what an exported network was fixed at.
        """
        truncation = self.truncation if truncation is None else truncation
        random = np.random.RandomState(self.seed if seed is None else seed)
        return self._draw(self._latents(random, first + count, truncation)[first:], truncation=truncation)

    def run(self, n_row: int = 3, n_col: int = 5) -> list[np.ndarray]:
        """Writes sample.png (n_row x n_col pictures) and sample_mixing_0.png, sample_mixing_1.png; returns all three.

        A mixing sheet has n_col sources along the top, n_row targets down the left side, and between them each target's
        coarse styles with each source's fine ones; where coarse ends is drawn anew for each row. Raises OutputError.
        """
        if n_row < 1 or n_col < 1:
            raise ConfigError(f"A sheet of {n_row} rows and {n_col} columns has no picture: use at least 1 of each.")
        random = np.random.RandomState(self.seed)
        sheets = {"sample": images.grid(self._draw(self._latents(random, n_row * n_col)), n_col, padding=0)}
        for number in range(2):
            sheets[f"sample_mixing_{number}"] = self._mixing_sheet(random, n_row, n_col)
        for name, sheet in sheets.items():
            images.write_image(self.output_path / f"{name}.png", sheet)
        print(f"{', '.join(f'{name}.png' for name in sheets)} are written in {self.output_path} (seed {self.seed}).")
        return list(sheets.values())

    def _mixing_sheet(self, random: np.random.RandomState, n_row: int, n_col: int) -> np.ndarray:
        layers = latents.count_layers(self.size)
        sources = self._latents(random, n_col)                 # [n_col, style_dim]
        targets = self._latents(random, n_row)                 # [n_row, style_dim]
        pictures = self._draw(sources)
        rows = [np.full_like(pictures[0], BLACK), *pictures]
        for target in targets:
            coarse = random.randint(1, layers)                 # how many layers, from the coarsest, are the target's
            mixed = np.repeat(sources[:, None], layers, axis=1)  # [n_col, n_latent, style_dim]
            mixed[:, :coarse] = target
            rows += [*self._draw(target[None]), *self._draw(mixed)]
        return images.grid(rows, n_col + 1, padding=0)

    def draw_seeds(self, seeds: Sequence[int], truncation: float = TRUNCATION, cutoff: int | None = None
                   ) -> list[np.ndarray]:
        """The picture of each seed, uint8 RGB [size, size, 3]."""
        return self._draw(self.w_of_seeds(seeds, truncation, cutoff))

    def w_of_seeds(self, seeds: Sequence[int], truncation: float = TRUNCATION, cutoff: int | None = None) -> np.ndarray:
        """Truncated w of each seed for every layer, [N, n_latent, style_dim]."""
        return self._w(latents.latents_of_seeds(seeds, self.style_dim), truncation, cutoff)

    def mix(self, rows: Sequence[int], columns: Sequence[int], layers: str = "coarse", truncation: float = TRUNCATION,
            cutoff: int | None = None) -> list[list[np.ndarray | None]]:
        """A matrix of pictures: the columns' seeds along the top, the rows' down the left side, and between them each
        row's picture with the column's styles in `layers` (see `latents.layers`). The corner is None."""
        chosen = latents.layers(layers, self.n_latent)
        top, left = self.w_of_seeds(columns, truncation, cutoff), self.w_of_seeds(rows, truncation, cutoff)
        matrix: list[list[np.ndarray | None]] = [[None, *self._draw(top)]]
        for w in left:
            mixed = latents.mix(np.repeat(w[None], len(top), axis=0), top, chosen)
            matrix.append([*self._draw(w[None]), *self._draw(mixed)])
        return matrix

    def walk(self, seeds: Sequence[int], frames: int = 120, spherical: bool = False, loop: bool = True,
             truncation: float = TRUNCATION, cutoff: int | None = None) -> Iterator[np.ndarray]:
        """Frames on the way through the seeds' pictures, drawn as they are asked for; the noise stands still.

        Straight in w, or with `spherical` along arcs in z; see `latents.interpolate`. Raises ConfigError for fewer than
        two seeds.
        """
        if len(seeds) < 2:
            raise ConfigError("A walk needs two seeds or more: give them as 1,5,20-39.")
        if spherical:
            z = latents.interpolate(latents.latents_of_seeds(seeds, self.style_dim), frames, loop, spherical=True)
            way = self._w(z, truncation, cutoff)
        else:
            way = latents.interpolate(self.w_of_seeds(seeds, truncation, cutoff), frames, loop)
        return (picture for w in way for picture in self._draw(w[None]))

    def sweep(self, seed: int, coordinate: int, values: Sequence[float], space: str = "z",
              truncation: float = TRUNCATION, cutoff: int | None = None) -> list[np.ndarray]:
        """A seed's picture with each of `values` in the place of one number of its z; with the space "w", each of
        `values` times the deviation of that number of w is its distance from the mean. Raises ConfigError."""
        if not 0 <= coordinate < self.style_dim:
            raise ConfigError(f"There is no coordinate {coordinate}: {space} has those from 0 to {self.style_dim - 1}.")
        layers, z = self.n_latent, latents.latents_of_seeds([seed], self.style_dim)
        if space == "z":
            return self._draw(self._w(latents.sweep(z, coordinate, values), truncation, cutoff))
        w = self._map(z)
        values = self.mean_w[0, coordinate] + np.asarray(values) * self.samples_of_w()[:, coordinate].std()
        swept = latents.per_layer(latents.sweep(w, coordinate, values), layers)
        return self._draw(latents.truncate(swept, self.mean_w, truncation, cutoff))

    def directions(self, layers: str = "all") -> np.ndarray:
        """Directions of w that change `layers` most, by falling effect: SeFa, [style_dim, style_dim], a unit one a row.
        """
        return latents.sefa(latents.style_weights(self.network, latents.layers(layers, self.n_latent)))[0]

    def edit(self, start: int | Code, directions: Sequence[int], strengths: Sequence[float], layers: str = "all",
             truncation: float = TRUNCATION, cutoff: int | None = None) -> list[list[np.ndarray]]:
        """A row for each of `directions` (numbers of those that `directions(layers)` gives) with a picture for each
        of `strengths`, counted in deviations of w along the direction and applied in `layers`.

        `start` is a seed, which is truncated, or a code, which is not. Raises ConfigError for a number that is none.
        """
        wrong = [number for number in directions if not 0 <= number < self.style_dim]
        if wrong:
            raise ConfigError(f"There is no direction {wrong[0]}: use those from 0 to {self.style_dim - 1}.")
        code = start if isinstance(start, Code) else Code(self.w_of_seeds([start], truncation, cutoff))
        chosen, found = latents.layers(layers, self.n_latent), self.directions(layers)
        rows = []
        for number in directions:
            deviation = (self.samples_of_w() @ found[number]).std()
            moved = latents.move(code.w, found[number] * deviation, strengths, chosen)
            rows.append(self._draw(moved, code.noise))
        return rows

    def project(self, picture: str | Path | np.ndarray, space: str = "w+", steps: int = 500, samples: int = 1000,
                seed: int = 0, rate: float = 0.1, vgg: str | Path | None = None, optimise_noise: bool = False,
                on_sample: Callable[[int], None] | None = None,
                on_step: Callable[[int, float, np.ndarray], None] | None = None):
        """The code whose picture is closest to a given one: from the nearest of `samples` pictures of `seed`, `steps`
        steps of gradient descent; see `projection.project`, whose Projection it returns.

        Args:
            picture: a file or uint8 RGB; its middle square is made as large as the generator's pictures.
            space: "w", one for all layers, or "w+", one for each.
            vgg: weights of VGG-19, whose features then join the distance; without them it is of pixels alone.
            on_sample, on_step: told how many samples were drawn, and each step's number, distance and picture.
        """
        import paddle

        from .. import projection
        target = paddle.to_tensor(images.to_array(self.target(picture)))
        distance = projection.laplacian_distance if vgg is None else projection.FeatureDistance(_vgg(vgg))
        batch = 1 if self.device == "cpu" and self.size > 128 else 8

        def seen(step, value, drawn):
            on_step(step, value, images.to_images(drawn)[0])
        start, _ = projection.nearest(self.network, target, samples, seed, distance, batch, on_sample)
        return projection.project(self.network, target, start, space == "w+", steps, rate, distance,
                                  projection.NOISE_WEIGHT if optimise_noise else None, seen if on_step else None)

    def target(self, picture: str | Path | np.ndarray) -> np.ndarray:
        """The middle square of a picture at the generator's size, uint8 RGB. Raises ImageError."""
        image = read(picture)
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        return images.resize(image[top:top + side, left:left + side], (self.size, self.size))

    def draw_code(self, code: Code) -> np.ndarray:
        """The picture of a code, uint8 RGB."""
        return self._draw(code.w, code.noise)[0]

    def save_code(self, path: str | Path, code: Code, **about) -> Path:
        """Writes a code as .safetensors; `about` is any JSON that should stand with it. Raises OutputError."""
        noise = {f"noise_{index}": values for index, values in enumerate(code.noise or ())}
        # Under one name, since the format keeps names in no order and the same code should be the same file.
        return weights.save_weights(path, {"w": code.w, **noise}, {CODE: about})

    def load_code(self, path: str | Path) -> Code:
        """A code that `save_code` wrote. Raises WeightsError when it is none, or made for another generator."""
        path = Path(path)
        state = weights.read_weights(path)
        noise = tuple(state[f"noise_{index}"] for index in range(len(state) - 1) if f"noise_{index}" in state)
        wanted = [1, self.n_latent, self.style_dim]
        if "w" not in state or len(noise) != len(state) - 1:
            raise WeightsError(f"{path} holds no code: give a file that `styleganv2 project` wrote.")
        sides = [[1, 1, side, side] for side in latents.resolutions(self.n_latent)[:-1]]
        if list(state["w"].shape) != wanted or (noise and [list(values.shape) for values in noise] != sides):
            raise WeightsError(f"{path} holds w {list(state['w'].shape)} where this generator wants {wanted}: use the "
                               f"weights that it was projected with.")
        return Code(state["w"].astype(np.float32), noise or None)

    def samples_of_w(self) -> np.ndarray:
        """w of 1000 z drawn from a fixed seed, [1000, style_dim]: how far w spreads."""
        if self._samples is None:
            self._samples = self._map(np.random.RandomState(0).randn(DEVIATION_SAMPLES, self.style_dim))
        return self._samples

    def _map(self, z: np.ndarray) -> np.ndarray:
        self._check_layered()
        return self._mapping(z)

    def _w(self, z: np.ndarray, truncation: float, cutoff: int | None) -> np.ndarray:
        w = latents.per_layer(self._map(z), self.n_latent)
        return latents.truncate(w, self.mean_w, truncation, cutoff)

    def _latents(self, random: np.random.RandomState, count: int, truncation: float = TRUNCATION) -> np.ndarray:
        """`count` truncated w, [count, style_dim]; z for an exported network, which makes w itself. numpy draws z, so
        that they are the same on every device."""
        z = random.randn(count, self.style_dim).astype(np.float32)
        return z if self.is_exported else latents.truncate(self._map(z), self.mean_w, truncation)

    def _draw_exported(self, z: np.ndarray, truncation: float) -> list[np.ndarray]:
        z = z if z.ndim == 3 else z[:, None]                   # [N, 1 or n_latent, style_dim]
        shares = [np.array([truncation], np.float32)] if "truncation" in self.network.inputs else []
        if not shares and truncation != self.truncation:
            raise ConfigError(f"{self.weights.name} was exported for a truncation of {self.truncation}: export it "
                              "without one to choose it here.")
        return [picture for row in z for picture in images.to_images(self.network(row[None], *shares)[0])]

    def _mean_w(self) -> np.ndarray:
        stored = self.weights.metadata.get("w_mean")
        if stored is not None:
            return np.asarray(stored, np.float32).reshape(1, self.style_dim)
        if self.is_exported:                                   # made elsewhere, it does not say; nothing here needs it
            return np.zeros((1, self.style_dim), np.float32)
        return self._mapping.mean(MEAN_SAMPLES)

    @property
    def n_latent(self) -> int:
        """How many layers take a w. Raises ConfigError for an exported network."""
        self._check_layered()
        return latents.count_layers(self.size)

    def _check_layered(self) -> None:
        """Raises ConfigError for an exported network, whose layers cannot be reached."""
        if self.is_exported:
            raise ConfigError(f"{self.weights.name} is an exported network, which draws seeds and sheets only: "
                              "give the weights that it was exported from.")

    def _check_exported(self) -> None:
        super()._check_exported()
        if "z" not in self.network.inputs:
            raise WeightsError(f"{self.weights.name} takes no z, from which a seed's pictures are drawn: export it "
                               "with --latent z.")

    def _draw(self, w: np.ndarray, noise: Sequence[np.ndarray] | None = None, truncation: float | None = None
              ) -> list[np.ndarray]:
        """w [N, style_dim] or [N, n_latent, style_dim] -> pictures, with the noise that is stored with the weights.
        For an exported network the latents are z, and truncated by it."""
        if self.is_exported:
            return self._draw_exported(w, self.truncation if truncation is None else truncation)
        if self.accelerated and noise is None:                 # it has the stored noise in it
            rows = np.asarray(w, np.float32)
            rows = rows if rows.ndim == 3 else rows[:, None]   # [N, 1 or n_latent, style_dim]
            return [picture for row in rows for picture in images.to_images(self.accelerated(row[None])[0])]
        import paddle
        maps = "stored" if noise is None else [paddle.to_tensor(values) for values in noise]
        return images.to_images(self._one_by_one(lambda rows: self.network.synthesis(rows, noise=maps), w))

    def _one_by_one(self, function, array: np.ndarray) -> np.ndarray:
        """Each row through `function` by itself: in a batch, its last digits would depend on how many there are."""
        return np.concatenate([self._batched(function, row[None]) for row in array])


def _vgg(path: str | Path):
    from .. import projection, zoo
    from ..networks.vgg import VGG19
    record = zoo.get("vgg19")
    state = weights.read_weights(path)
    return weights.load_strict(VGG19(projection.VGG_TAPS, before_activation=False), state, str(path), record.optional)
