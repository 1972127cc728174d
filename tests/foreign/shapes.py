"""The entries that other projects' networks have: published names and shapes, written down apart from the importer's
tables, and random numbers for them. Needs NumPy only."""

from __future__ import annotations

import numpy as np


def random_state(shapes: dict[str, tuple], seed: int = 0) -> dict[str, np.ndarray]:
    """Numbers that keep a network's features at a sensible size: norms near 1, weights by their fan-in."""
    generator = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes.items():
        numbers = generator.standard_normal(shape).astype(np.float32)
        last = name.rpartition(".")[2].rpartition("/")[2]
        if len(shape) == 4 and last in ("weight", "weights", "w"):
            inputs = shape[0] * shape[1] * shape[2] if last != "weight" else shape[1] * shape[2] * shape[3]
            numbers *= np.float32(inputs ** -0.5) if last != "w" else np.float32(1 / 3)
        elif last in ("weight", "gamma") and len(shape) == 1:
            numbers = 1 + numbers / 4
        elif last in ("bias", "beta"):
            numbers /= 4
        state[name] = numbers.astype(np.float32)
    return state


# AnimeGANv2: convolutions with a norm, (inputs, outputs, kernel), from the first to the last.
HEAD = [(3, 32, 7), (32, 64, 3), (64, 64, 3), (64, 128, 3), (128, 128, 3), (128, 128, 3)]
TAIL = [(256, 128, 3), (128, 128, 3), (128, 128, 3), (128, 64, 3), (64, 64, 3), (64, 32, 7)]
BOTTLENECKS = [(128, 256), (256, 256), (256, 256), (256, 256)]
TORCH_HEAD = ["block_a.0", "block_a.1", "block_a.2", "block_b.0", "block_b.1", "block_c.0"]
TORCH_TAIL = ["block_c.5", "block_d.0", "block_d.1", "block_e.0", "block_e.1", "block_e.2"]
TENSORFLOW_HEAD = [("A", ""), ("A", "_1"), ("A", "_2"), ("B", ""), ("B", "_1"), ("C", "")]
TENSORFLOW_TAIL = [("C", "_1"), ("D", ""), ("D", "_1"), ("E", ""), ("E", "_1"), ("E", "_2")]


def animegan2_pytorch() -> dict[str, tuple]:
    shapes = {}
    for name, (inputs, outputs, kernel) in zip(TORCH_HEAD + TORCH_TAIL, HEAD + TAIL):
        shapes |= {f"{name}.1.weight": (outputs, inputs, kernel, kernel), f"{name}.2.weight": (outputs,),
                   f"{name}.2.bias": (outputs,)}
    for block, (inputs, outputs) in enumerate(BOTTLENECKS, 1):
        stem, wide = f"block_c.{block}.layers", 2 * inputs
        shapes |= {f"{stem}.0.1.weight": (wide, inputs, 1, 1), f"{stem}.0.2.weight": (wide,),
                   f"{stem}.0.2.bias": (wide,), f"{stem}.1.1.weight": (wide, 1, 3, 3), f"{stem}.1.1.bias": (wide,),
                   f"{stem}.1.2.weight": (wide,), f"{stem}.1.2.bias": (wide,),
                   f"{stem}.2.weight": (outputs, wide, 1, 1), f"{stem}.3.weight": (outputs,),
                   f"{stem}.3.bias": (outputs,)}
    return shapes | {"out_layer.0.weight": (3, 32, 1, 1)}


def animeganv2_tensorflow() -> dict[str, tuple]:
    shapes, scope = {}, "generator/G_MODEL"
    for (part, number), (inputs, outputs, kernel) in zip(TENSORFLOW_HEAD + TENSORFLOW_TAIL, HEAD + TAIL):
        shapes |= {f"{scope}/{part}/Conv{number}/weights": (kernel, kernel, inputs, outputs),
                   f"{scope}/{part}/LayerNorm{number}/gamma": (outputs,),
                   f"{scope}/{part}/LayerNorm{number}/beta": (outputs,)}
    for block, (inputs, outputs) in enumerate(BOTTLENECKS, 1):
        stem, wide = f"{scope}/C/r{block}", 2 * inputs
        shapes |= {f"{stem}/Conv/weights": (1, 1, inputs, wide), f"{stem}/LayerNorm/gamma": (wide,),
                   f"{stem}/LayerNorm/beta": (wide,), f"{stem}/r{block}/w": (3, 3, wide, 1),
                   f"{stem}/r{block}/bias": (wide,), f"{stem}/1/gamma": (wide,), f"{stem}/1/beta": (wide,),
                   f"{stem}/Conv_1/weights": (1, 1, wide, outputs), f"{stem}/2/gamma": (outputs,),
                   f"{stem}/2/beta": (outputs,)}
    return shapes | {f"{scope}/out_layer/Conv/weights": (1, 1, 32, 3)}


def rosinality_generator(widths: dict[int, int], style_dim: int, n_mlp: int) -> dict[str, tuple]:
    """`widths`: feature maps at each resolution, from 4 on."""
    shapes = {"input.input": (1, widths[4], 4, 4)}
    for layer in range(1, n_mlp + 1):
        shapes |= {f"style.{layer}.weight": (style_dim, style_dim), f"style.{layer}.bias": (style_dim,)}

    def modulated(stem, inputs, outputs, kernel):
        return {f"{stem}.conv.weight": (1, outputs, inputs, kernel, kernel),
                f"{stem}.conv.modulation.weight": (inputs, style_dim), f"{stem}.conv.modulation.bias": (inputs,)}

    def styled(stem, inputs, outputs):
        return modulated(stem, inputs, outputs, 3) | {f"{stem}.noise.weight": (1,), f"{stem}.activate.bias": (outputs,)}

    shapes |= styled("conv1", widths[4], widths[4])
    shapes |= modulated("to_rgb1", widths[4], 3, 1) | {"to_rgb1.bias": (1, 3, 1, 1), "noises.noise_0": (1, 1, 4, 4)}
    resolutions = sorted(widths)
    for index, (smaller, size) in enumerate(zip(resolutions, resolutions[1:])):
        shapes |= styled(f"convs.{2 * index}", widths[smaller], widths[size])
        shapes |= styled(f"convs.{2 * index + 1}", widths[size], widths[size])
        shapes |= modulated(f"to_rgbs.{index}", widths[size], 3, 1)
        shapes |= {f"to_rgbs.{index}.bias": (1, 3, 1, 1), f"to_rgbs.{index}.upsample.kernel": (4, 4),
                   f"convs.{2 * index}.conv.blur.kernel": (4, 4)}
        shapes |= {f"noises.noise_{2 * index + number}": (1, 1, size, size) for number in (1, 2)}
    return shapes


def rosinality_discriminator(widths: dict[int, int]) -> dict[str, tuple]:
    resolutions = sorted(widths, reverse=True)
    first, last = widths[resolutions[0]], widths[4]
    shapes = {"convs.0.0.weight": (first, 3, 1, 1), "convs.0.1.bias": (first,)}
    for block, (size, smaller) in enumerate(zip(resolutions, resolutions[1:]), 1):
        stem, inputs, outputs = f"convs.{block}", widths[size], widths[smaller]
        shapes |= {f"{stem}.conv1.0.weight": (inputs, inputs, 3, 3), f"{stem}.conv1.1.bias": (inputs,),
                   f"{stem}.conv2.0.kernel": (4, 4), f"{stem}.conv2.1.weight": (outputs, inputs, 3, 3),
                   f"{stem}.conv2.2.bias": (outputs,), f"{stem}.skip.0.kernel": (4, 4),
                   f"{stem}.skip.1.weight": (outputs, inputs, 1, 1)}
    return shapes | {"final_conv.0.weight": (last, last + 1, 3, 3), "final_conv.1.bias": (last,),
                     "final_linear.0.weight": (last, 16 * last), "final_linear.0.bias": (last,),
                     "final_linear.1.weight": (1, last), "final_linear.1.bias": (1,)}


def stylegan2_state(shapes: dict[str, tuple], seed: int = 0) -> dict[str, np.ndarray]:
    """Random numbers as StyleGAN2 stores them (scaled when used), with the filters as they are published."""
    generator = np.random.default_rng(seed)
    state = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    binomial = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
    for name in state:
        if name.endswith("kernel"):  # those that double a picture make up for the zeros between its pixels
            state[name] = binomial * (4 if "upsample" in name or "conv.blur" in name else 1)
        elif name.startswith("style."):  # the mapping network learns at a hundredth of the rate
            state[name] *= np.float32(100)
    return state


def nvlabs_generator(widths: dict[int, int], w_dim: int, layers: int) -> dict[str, tuple]:
    shapes = {"synthesis.b4.const": (widths[4], 4, 4), "mapping.w_avg": (w_dim,)}
    for layer in range(layers):
        shapes |= {f"mapping.fc{layer}.weight": (w_dim, w_dim), f"mapping.fc{layer}.bias": (w_dim,)}
    resolutions = sorted(widths)
    for smaller, size in zip([None, *resolutions], resolutions):
        block = f"synthesis.b{size}"
        shapes[f"{block}.resample_filter"] = (4, 4)
        for number, inputs in ((0, widths.get(smaller)), (1, widths[size])):
            if inputs:
                stem = f"{block}.conv{number}"
                shapes |= {f"{stem}.affine.weight": (inputs, w_dim), f"{stem}.affine.bias": (inputs,),
                           f"{stem}.weight": (widths[size], inputs, 3, 3), f"{stem}.bias": (widths[size],),
                           f"{stem}.noise_strength": (), f"{stem}.noise_const": (size, size),
                           f"{stem}.resample_filter": (4, 4)}
        shapes |= {f"{block}.torgb.affine.weight": (widths[size], w_dim), f"{block}.torgb.affine.bias": (widths[size],),
                   f"{block}.torgb.weight": (3, widths[size], 1, 1), f"{block}.torgb.bias": (3,)}
    return shapes


def nvlabs_discriminator(widths: dict[int, int]) -> dict[str, tuple]:
    resolutions, last = sorted(widths, reverse=True), widths[4]
    size = resolutions[0]
    shapes = {f"b{size}.fromrgb.weight": (widths[size], 3, 1, 1), f"b{size}.fromrgb.bias": (widths[size],),
              f"b{size}.fromrgb.resample_filter": (4, 4)}
    for size, smaller in zip(resolutions, resolutions[1:]):
        inputs, outputs = widths[size], widths[smaller]
        shapes |= {f"b{size}.resample_filter": (4, 4), f"b{size}.conv0.weight": (inputs, inputs, 3, 3),
                   f"b{size}.conv0.bias": (inputs,), f"b{size}.conv0.resample_filter": (4, 4),
                   f"b{size}.conv1.weight": (outputs, inputs, 3, 3), f"b{size}.conv1.bias": (outputs,),
                   f"b{size}.conv1.resample_filter": (4, 4), f"b{size}.skip.weight": (outputs, inputs, 1, 1),
                   f"b{size}.skip.resample_filter": (4, 4)}
    return shapes | {"b4.conv.weight": (last, last + 1, 3, 3), "b4.conv.bias": (last,),
                     "b4.conv.resample_filter": (4, 4), "b4.fc.weight": (last, 16 * last), "b4.fc.bias": (last,),
                     "b4.out.weight": (1, last), "b4.out.bias": (1,)}


def nvlabs_state(shapes: dict[str, tuple], seed: int = 0, mapping_multiplier: float = 0.01) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    state = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name in state:
        if name.endswith("resample_filter"):
            state[name] = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64
        elif name.startswith("mapping.fc"):
            state[name] /= np.float32(mapping_multiplier)
    return {name: np.asarray(array, np.float32) for name, array in state.items()}
