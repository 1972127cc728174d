"""ppgan_apps: portrait and anime GANs on PaddlePaddle 3, from a photo to a picture and from a YAML to weights."""
from importlib import import_module

from . import runtime

__version__ = "0.1.0"

_EXPORTS = {
    "Photo2CartoonPredictor": "photo2cartoon",
    "Anime2RealPredictor": "anime2real",
    "StyleGAN2Predictor": "stylegan2",
    "AnimeGANv2Predictor": "animeganv2",
}
__all__ = [*_EXPORTS, "__version__"]

# Paddle reads its CPU settings once, when it is first imported; every module of the package comes through here before.
runtime.settle()


def __getattr__(name: str):
    """The predictors are imported when first asked for, so that `import ppgan_apps` takes milliseconds."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'ppgan_apps' has no attribute '{name}'")
    return getattr(import_module(f".predictors.{_EXPORTS[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *_EXPORTS])
