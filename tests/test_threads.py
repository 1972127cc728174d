"""One predictor in many threads draws the same pictures as alone."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_weights

from ppgan_apps import (
    Anime2RealPredictor,
    AnimeGANv2Predictor,
    Photo2CartoonPredictor,
    StyleGAN2Predictor,
    engines,
    export,
)

THREADS, ROUNDS = 8, 2


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_weights.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def photos():
    """Parts of a portrait (NASA, public domain), each with the face, and so of different sizes and contents."""
    import skimage.data
    whole = skimage.data.astronaut()
    return [np.ascontiguousarray(whole[:280 + 8 * number, 60 + 8 * number:360]) for number in range(4)]


def same_in_threads(draw, inputs):
    """`draw` of each input, alone and then by eight threads at once, again and again."""
    alone = [draw(given) for given in inputs]
    assert len({np.asarray(result).tobytes() for result in alone}) == len(inputs)   # else a mix-up would not be seen
    order = [number for _ in range(ROUNDS) for number in range(len(inputs))]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda number: draw(inputs[number]), order))
    for number, result in zip(order, together, strict=True):
        np.testing.assert_array_equal(result, alone[number])


@pytest.mark.parametrize("kind, name", [(AnimeGANv2Predictor, "anime2real"), (Anime2RealPredictor, "anime2real"),
                                        (Photo2CartoonPredictor, "photo2cartoon")])
def test_a_picture_predictor_in_many_threads(kind, name, tiny, photos, tmp_path):
    predictor = kind(tmp_path, weight_path=tiny[name])
    same_in_threads(predictor.predict, photos)


def test_faces_with_the_embedded_models_in_many_threads(photos, tmp_path):
    from ppgan_apps.faces import detect
    same_in_threads(lambda photo: np.concatenate([face.landmarks for face in detect(photo)[:1]]), photos)


def test_stylegan2_in_many_threads(tiny, tmp_path):
    predictor = StyleGAN2Predictor(tmp_path, weight_path=tiny["styleganv2"], seed=1)
    same_in_threads(lambda seed: predictor.sample(2, seed=seed), range(6))
    same_in_threads(lambda seed: predictor.draw_seeds([seed, seed + 9]), range(6))


@pytest.mark.parametrize("ending", ["a.onnx", "program"])
def test_an_exported_network_in_many_threads(ending, tiny, tmp_path):
    if ending == "a.onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    network, about = export.load(tiny["anime2real"])
    export.export(network, tmp_path / ending, about)
    exported = engines.open_network(tmp_path / ending)
    random = np.random.default_rng(0)
    same_in_threads(lambda array: exported(array)[0],
                    [random.normal(size=(1, 3, 32 * side, 32)).astype(np.float32) for side in (1, 2, 3, 1)])
