"""Measuring a checkpoint, a run in training, or two folders of pictures; and the command that does it.

What is compared: for a family that draws from noise its samples with its data; for one that translates pictures what it
makes of A with B, or of photos with the style's pictures. Nothing is mirrored or cropped at random.
"""
from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from . import config, data, images, runtime
from .checkpoints import Parts, checkpoints, load_checkpoint, read_meta
from .config import RunConfig
from .errors import ConfigError, DataError, SuiteError, WeightsError
from .metrics import features as spaces
from .metrics.features import Features, FeatureSpace
from .metrics.fid import fid
from .metrics.kid import kid
from .metrics.ppl import LatentPath, path_length
from .metrics.precision_recall import precision_recall
from .metrics.result import Result
from .metrics.swd import swd

log = logging.getLogger("ppgan_apps")
METRICS = ("fid", "kid", "pr", "ppl", "swd")
DEFAULT_METRICS = "fid,kid,pr"
COUNT = 2000
_BATCH = 32                                  # pictures drawn from noise at a time


class RealPictures(Sequence):
    """Up to `count` pictures that a run's results should look like, uint8 RGB [size, size, 3], without augmentation."""

    def __init__(self, section: data.Dataset, count: int, seed: int):
        plain = without_augmentation(section)
        if isinstance(plain, data.UnpairedImages):
            plain, self._key = dataclasses.replace(plain, path_a=plain.path_b), "real_a"
        elif isinstance(plain, data.StyleImages):
            plain, self._key = data.Images(plain.style, plain.size, flip=False), "real"
        else:
            self._key = "real_b" if isinstance(plain, data.PairedImages) else "real"
        self._dataset, self._seed = plain.open(), seed
        self._count = min(count, len(self._dataset))

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        if not 0 <= index < self._count:
            raise IndexError(index)
        chosen = data.sample_index(self._seed, index, len(self._dataset))
        sample = self._dataset.sample(chosen, np.random.default_rng([self._seed, 1, index]))
        return images.to_images(sample[self._key][None])[0]


class FolderPictures(Sequence):
    """The pictures of a folder as they are, up to `count` of them, evenly spread over the sorted names."""

    def __init__(self, folder: str | Path, count: int | None = None):
        files = images.find_images([folder])
        chosen = np.linspace(0, len(files) - 1, min(count or len(files), len(files))).round().astype(int)
        self._files = [files[index] for index in chosen]

    def __len__(self):
        return len(self._files)

    def __getitem__(self, index):
        return images.read_image(self._files[index])


def without_augmentation(section: data.Dataset) -> data.Dataset:
    """The same data section, which neither mirrors nor crops at random."""
    names = {entry.name for entry in dataclasses.fields(section)}
    plain = {"flip": False} if "flip" in names else {}
    if "load_size" in names:
        plain["load_size"] = section.size
    return dataclasses.replace(section, **plain)


def generated_pictures(recipe, count: int, seed: int) -> Iterator[np.ndarray]:
    """`count` results of `recipe`, uint8 RGB [H, W, 3]; of a family that translates, one for each picture at most.

    Those are made one at a time, since pix2pix's normalisation looks at the batch.
    """
    import paddle
    dataset = without_augmentation(recipe.run.data).open()
    translates = "real" not in data.make_batch(dataset, seed, 0, 1)
    size = 1 if translates else _BATCH
    count = min(count, len(dataset)) if translates else count
    made = 0
    with evaluating(recipe):
        while made < count:
            batch = data.make_batch(dataset, seed, made // size, size)
            paddle.seed(int(np.random.SeedSequence([seed, 4, made]).generate_state(1)[0] & 0x7FFFFFFF))
            with paddle.no_grad():
                pictures = images.to_images(recipe.samples({key: paddle.to_tensor(batch[key]) for key in batch}))
            yield from pictures[:count - made]
            made += len(pictures)


@contextmanager
def evaluating(recipe):
    """The recipe's networks in their evaluation mode inside the block, which one of several processes runs alone."""
    from .sharing import Sharing, shared
    training = [network for network in Parts.of(recipe).networks.values() if network.training]
    for network in training:
        network.eval()
    try:
        with shared(Sharing()):
            yield
    finally:
        for network in training:
            network.train()


def latent_path(recipe) -> LatentPath:
    """The recipe's generator for path lengths: in w where it has a mapping network, else in z.

    Raises ConfigError for a family that does not draw from latents.
    """
    import paddle
    network = recipe.delivered
    if hasattr(network, "mapping") and hasattr(network, "synthesis"):
        def draw(random, count):
            z = random.standard_normal((count, recipe.cfg.style_dim)).astype(np.float32)
            return network.mapping(paddle.to_tensor(z)).numpy()

        def generate(w, numbers):
            paddle.seed(int(numbers[0]))                       # both ends of a step get the same noise inputs
            return network.synthesis(paddle.to_tensor(w.astype(np.float32))).numpy()
        return LatentPath("w", "linear", draw, generate)
    if not hasattr(recipe, "latents"):
        raise ConfigError(f"The family '{recipe.run.family}' does not draw from latents: leave the metric ppl out.")
    classes = len(getattr(recipe.run.data, "classes", ())) if getattr(network, "embedding", None) is not None else 0

    def draw(random, count):
        paddle.seed(int(random.randint(2**31 - 1)))
        return recipe.latents(count).numpy()

    def generate(z, numbers):
        z = paddle.to_tensor(z.astype(np.float32))
        return (network(z, paddle.to_tensor(numbers % classes)) if classes else network(z)).numpy()
    normal = getattr(recipe.cfg, "latent", "uniform") == "normal"
    return LatentPath("z", "spherical" if normal else "linear", draw, generate)


def cached_features(space: FeatureSpace, pictures: Sequence[np.ndarray], about: str, folder: Path | None) -> Features:
    """The features of `pictures`, kept in `folder` under the hash of their contents and of the space (None: not kept).

    Raises DataError when there are fewer than two pictures, OutputError when the folder cannot be written.
    """
    if folder is None:
        return space.extract(pictures, about, len(pictures))
    digest = hashlib.sha256(json.dumps(space.identity(), sort_keys=True).encode())
    for picture in pictures:
        digest.update(repr(picture.shape).encode() + picture.tobytes())
    path = Path(folder) / f"features_{digest.hexdigest()[:24]}.npy"
    try:
        return Features(np.load(path), space)
    except (OSError, ValueError, EOFError):                    # not there yet, or damaged: computed anew
        found = space.extract(pictures, about, len(pictures))
    images.make_folder(folder)
    with images.replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, found.values)
    return found


def compare(space: FeatureSpace, real: Sequence, fake: Sequence, metrics: Sequence[str], seed: int = 0,
            cache: Path | None = None) -> list[Result]:
    """The results of `metrics` (of fid, kid, pr, swd) between two sequences of uint8 pictures [H, W, 3]."""
    results = []
    if set(metrics) & {"fid", "kid", "pr"}:
        real_features = cached_features(space, real, "real pictures", cache)
        fake_features = space.extract(fake, "generated pictures", len(fake))
        results += [measure(real_features, fake_features) for name, measure in
                    {"fid": fid, "kid": lambda *sets: kid(*sets, seed=seed), "pr": precision_recall}.items()
                    if name in metrics]
    if "swd" in metrics:
        results.append(swd(list(real), list(fake), seed))
    return results


def evaluate(recipe, space: FeatureSpace, metrics: Sequence[str], count: int = COUNT, seed: int = 0,
             real: Sequence[np.ndarray] | None = None, cache: Path | None = None) -> list[Result]:
    """The results of `metrics` for a recipe with its weights loaded, against `real` or its own data."""
    real = RealPictures(recipe.run.data, count, seed) if real is None else real
    results = []
    if set(metrics) - {"ppl"}:
        results = compare(space, real, list(generated_pictures(recipe, count, seed)), metrics, seed, cache)
    if "ppl" in metrics:
        import paddle
        with evaluating(recipe), paddle.no_grad():
            results.append(path_length(latent_path(recipe), space, min(count, 1000), seed))
    return [dataclasses.replace(result, protocol={**result.protocol, "seed": seed}) for result in results]


class TrainingDistance:
    """The distance that a run logs while it trains (`evaluate_every`), in the feature space that needs no download."""

    def __init__(self, run: RunConfig):
        self.run = run
        self._space = spaces.open_space()
        self._real: Features | None = None

    def __call__(self, recipe) -> float:
        """The Frechet distance of the recipe's present results."""
        run, count = self.run, self.run.evaluate_count
        if self._real is None:
            pictures = RealPictures(run.data, count, run.seed)
            self._real = cached_features(self._space, pictures, "real pictures", Path(run.output) / "evaluation")
        fake = self._space.extract(generated_pictures(recipe, count, run.seed), "generated pictures")
        result = fid(self._real, fake)
        log.info("%s", result)
        return result.values["value"]


def load_recipe(run: RunConfig, folder: Path):
    """The recipe of `run` with the weights of a checkpoint folder. Raises WeightsError when they do not fit."""
    import paddle
    family = read_meta(folder).get("family")
    if family != run.family:
        raise ConfigError(f"{folder} is a checkpoint of '{family}', not of '{run.family}': give its own YAML.")
    run.data.open()
    with paddle.utils.unique_name.guard():
        paddle.seed(run.seed)
        recipe = config.recipe_class(run.family)(run)
        load_checkpoint(recipe, folder)
    return recipe


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint that a user means by a checkpoint folder or a run's folder. Raises WeightsError for others."""
    path = Path(path)
    if (path / "meta.json").is_file():
        return path
    found = checkpoints(path)
    if not found:
        raise WeightsError(f"{path} is no checkpoint and no run's folder: give one that holds meta.json or "
                           f"checkpoints/step_*.")
    return found[-1]


_EXAMPLES = """examples:
  python tools/eval.py --checkpoint output/stylegan2_avatars --metrics fid,kid,pr,ppl -o result.json
  python tools/eval.py --config-file configs/pix2pix_anime2real.yaml --checkpoint output/pix2pix_anime2real \\
      --override data.path=data/held_out
  python tools/eval.py --checkpoint output/dcgan_avatars --features inception --count 10000
  python tools/eval.py folders data/avatars output/samples --metrics fid,swd

Without Inception's weights (--features inception, 96 MB, downloaded once; or a file) distances are measured in random
VGG features and not called FID. Exit status: 0, or 2 after one line that says what is wrong.
"""


def _parser(prog: str | None, folders: bool) -> argparse.ArgumentParser:
    about = "Measures a checkpoint against real pictures, or (`folders`) two folders of pictures; states the protocol."
    parser = argparse.ArgumentParser(prog=f"{prog or 'eval.py'}{' folders' if folders else ''}", description=about,
                                     epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    if folders:
        parser.add_argument("real", help="folder of real pictures")
        parser.add_argument("fake", help="folder of generated pictures")
    else:
        parser.add_argument("-c", "--config-file", metavar="YAML", help="default: the one stored in the checkpoint")
        parser.add_argument("--checkpoint", required=True, metavar="DIR", help="a checkpoint's or a run's folder")
        parser.add_argument("--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                            help="change a value of the YAML: data.path=my/pictures")
        parser.add_argument("--real", metavar="DIR", help="folder of real pictures, in place of the data set's")
    parser.add_argument("--metrics", default=DEFAULT_METRICS, metavar="LIST",
                        help=f"of {', '.join(METRICS)}, with commas (default: {DEFAULT_METRICS})")
    parser.add_argument("--count", type=int, default=COUNT, help=f"pictures of each side at most (default: {COUNT})")
    parser.add_argument("--features", default=spaces.DEFAULT, metavar="NAME|FILE",
                        help=f"{', '.join(spaces.SPACES)}, or a file of Inception's weights "
                             f"(default: {spaces.DEFAULT})")
    parser.add_argument("--seed", type=int, default=0, help="of the samples and subsets (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or gpu:N")
    parser.add_argument("-o", "--output", metavar="JSON", help="write the results there; features of the real pictures "
                        "are kept beside it")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    return parser


def main(argv: list[str] | None = None, prog: str | None = None) -> int:
    """The command `tools/eval.py`. Returns the exit status: 0, or 2 after one line of error."""
    argv = sys.argv[1:] if argv is None else list(argv)
    folders = argv[:1] == ["folders"]
    arguments = _parser(prog, folders).parse_args(argv[1:] if folders else argv)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    try:
        metrics = _chosen_metrics(arguments.metrics, arguments.count)
        output = Path(arguments.output) if arguments.output else None
        if output and output.exists() and not arguments.overwrite:
            raise ConfigError(f"{output} exists: use --overwrite, or another output.")
        runtime.device(arguments.device)
        measure = _measure_folders if folders else _measure_checkpoint
        about, results = measure(arguments, metrics, output.parent / "features" if output else None)
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for result in results:
        print(result)
    if output:
        write_results(output, about, results)
    return 0


def write_results(path: Path, about: dict, results: Sequence[Result]) -> None:
    """`about` and the results as JSON. Raises OutputError."""
    images.make_folder(path.parent)
    with images.replacing(path) as temporary:
        contents = {**about, "results": [result.to_dict() for result in results]}
        temporary.write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def _chosen_metrics(text: str, count: int) -> list[str]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in METRICS]
    if unknown or not chosen:
        raise ConfigError(f"There is no metric '{', '.join(unknown)}': use {', '.join(METRICS)}, with commas.")
    if count < 2:
        raise ConfigError(f"--count is {count}, should be 2 or more.")
    return chosen


def _measure_folders(arguments, metrics, cache) -> tuple[dict, list[Result]]:
    if "ppl" in metrics:
        raise ConfigError("The metric ppl needs a generator: leave it out for two folders.")
    real, fake = (FolderPictures(folder, arguments.count) for folder in (arguments.real, arguments.fake))
    results = compare(spaces.open_space(arguments.features), real, fake, metrics, arguments.seed, cache)
    return {"real": arguments.real, "generated": arguments.fake}, results


def _measure_checkpoint(arguments, metrics, cache) -> tuple[dict, list[Result]]:
    folder = find_checkpoint(arguments.checkpoint)
    run = config.load_run(arguments.config_file or folder / "config.yaml", arguments.override)
    real = None
    if arguments.real:
        if not hasattr(run.data, "size"):
            raise DataError(f"--real does not fit the data of '{run.family}': change its section with --override.")
        real = RealPictures(data.Images(arguments.real, run.data.size, flip=False), arguments.count, arguments.seed)
    space = spaces.open_space(arguments.features)
    recipe = load_recipe(run, folder)
    results = evaluate(recipe, space, metrics, arguments.count, arguments.seed, real, cache)
    return {"family": run.family, "checkpoint": str(folder), "step": int(read_meta(folder)["step"])}, results
