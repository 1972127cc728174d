"""What TensorFlow saves and what AnimeGANv2's generator computes there, in this suite's own words: the importer's
results are compared with these. No code of the suite is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.foreign import shapes

tf1 = tf.compat.v1


def save(prefix: Path, state: dict, kind: str | None = None) -> Path:
    """A checkpoint with these arrays as variables, written by TensorFlow 1's Saver."""
    with tf.Graph().as_default(), tf1.Session() as session:
        for name, array in state.items():
            tf1.get_variable(name, initializer=tf.cast(tf.constant(array), kind) if kind else tf.constant(array),
                             use_resource=False)
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(prefix), write_meta_graph=False)
    return prefix


def animeganv2(state: dict, picture: np.ndarray) -> np.ndarray:
    """picture [N, H, W, 3] to [N, H, W, 3]."""
    scope = "generator/G_MODEL"

    def norm(x, gamma, beta):
        mean, variance = tf.nn.moments(x, [1, 2, 3], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, state[f"{scope}/{beta}"], state[f"{scope}/{gamma}"], 1e-12)

    def padded(x, before, after):
        return tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]], "REFLECT")

    def unit(x, part, number, stride=1):
        weight = state[f"{scope}/{part}/Conv{number}/weights"]
        around = weight.shape[0] // 2
        x = padded(x, 0, 1) if stride == 2 else padded(x, around, around)
        x = tf.nn.conv2d(x, weight, stride, "VALID")
        return tf.nn.leaky_relu(norm(x, f"{part}/LayerNorm{number}/gamma", f"{part}/LayerNorm{number}/beta"), 0.2)

    def bottleneck(x, block):
        part = f"C/r{block}"
        y = padded(unit(x, part, ""), 1, 1)
        y = tf.nn.depthwise_conv2d(y, state[f"{scope}/{part}/r{block}/w"], [1, 1, 1, 1], "VALID")
        y = tf.nn.leaky_relu(norm(y + state[f"{scope}/{part}/r{block}/bias"], f"{part}/1/gamma", f"{part}/1/beta"), 0.2)
        y = norm(tf.nn.conv2d(y, state[f"{scope}/{part}/Conv_1/weights"], 1, "VALID"), f"{part}/2/gamma",
                 f"{part}/2/beta")
        return x + y if x.shape[-1] == y.shape[-1] else y

    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf.constant(picture)
        for (part, number), stride in zip(shapes.TENSORFLOW_HEAD, (1, 2, 1, 2, 1, 1)):
            x = unit(x, part, number, stride)
        for block in (1, 2, 3, 4):
            x = bottleneck(x, block)
        for part, number in shapes.TENSORFLOW_TAIL:
            if number == "" and part in ("D", "E"):
                x = tf1.image.resize_images(x, [2 * x.shape[1], 2 * x.shape[2]])
            x = unit(x, part, number)
        return session.run(tf.tanh(tf.nn.conv2d(x, state[f"{scope}/out_layer/Conv/weights"], 1, "VALID")))
