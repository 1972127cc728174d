"""Drawn versions of photographs, made without learning: the targets that the embedded models learn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .errors import ImageError

WORKING_SIZE = 512  # lines and features are drawn at least this large and then shrunk, which smooths their edges
REFERENCE_SIZE = 256  # radii below are pixels of a picture of this size
INK_RGB = (38.0, 27.0, 30.0)  # warm near-black: pure black looks printed over the colours
COMIC_INK_RGB = (22.0, 18.0, 30.0)
PENCIL_RGB = (92.0, 74.0, 70.0)

# Landmark numbers of the 68-point scheme (iBUG 300-W).
BROWS = (slice(17, 22), slice(22, 27))
EYES = (slice(36, 42), slice(42, 48))
OUTER_LIPS = slice(48, 60)
INNER_LIPS = slice(60, 68)


def cartoon(image: np.ndarray, mask: np.ndarray | None = None, landmarks: np.ndarray | None = None,
            redraw: bool = True) -> np.ndarray:
    """Draw a portrait as a flat, outlined cartoon.

    image: uint8 RGB [H, W, 3] (or grey [H, W]), best an aligned head crop of 256 to 512 pixels.
    mask: person, float [H, W] in [0, 1]; outside it the result is white. None keeps the whole picture.
    landmarks: float [68, 2] in pixels, x then y; with them the skin gets two tones.
    redraw: with landmarks, draw eyes, brows, nose, mouth and jaw anew from them; else the ink shows the photo's own,
    and every line depends on its neighbourhood alone, which a network learns without blur.
    Returns uint8 RGB [H, W, 3]; the same input always gives the same bytes. Raises ImageError when mask or landmarks do
    not fit the picture.

    Colours: iterated bilateral smoothing and soft luminance quantisation, lines: flow-guided difference of Gaussians,
    after Winnemoeller et al., "Real-Time Video Abstraction" (2006) and Kang et al., "Coherent Line Drawing" (2007).
    """
    image = _as_rgb(image)
    if mask is not None and mask.shape != image.shape[:2]:
        raise ImageError(f"The mask has shape {mask.shape}, the picture {image.shape[:2]}: give this picture's mask.")
    if landmarks is not None and np.shape(landmarks) != (68, 2):
        raise ImageError(f"The landmarks have shape {np.shape(landmarks)}: give 68 points (x, y).")
    scale = max(image.shape[:2]) / REFERENCE_SIZE
    person = np.ones(image.shape[:2], np.float32) if mask is None else np.clip(mask, 0, 1).astype(np.float32)
    if mask is not None:
        person = _without_islands(person)
        person = _smoothstep(0.35, 0.85, _blur(person, 1.3 * scale))  # a drawn contour does not follow single hairs
    photo = _extend_person(image.astype(np.float32), person, scale)
    smooth = _smooth_colours(_to_lab(photo), scale, passes=4, colour_sigma=7.0)
    face = None if landmarks is None else _measure_face(smooth, person, np.asarray(landmarks, np.float32))
    zoom = max(1.0, WORKING_SIZE / max(image.shape[:2]))
    if face is None or redraw:
        colours, lines = _simplified(smooth, face, scale, zoom)
    else:
        colours, lines = _inked(photo, smooth, face, scale, zoom)
    if mask is not None:
        lines = np.maximum(lines, _silhouette(person, scale))
    drawn = _ink(_to_rgb(colours), lines)
    if face is not None and redraw:
        drawn = _draw_features(drawn, photo, face)
    if mask is not None:
        drawn = _whiten(drawn, _grow(person, scale))
    return np.clip(drawn + 0.5, 0, 255).astype(np.uint8)


def anime(image: np.ndarray, lines: float = 0.85) -> np.ndarray:
    """Paint a whole photograph in a pastel style: flat colours, lifted blue shadows, warm lights, thin ink lines.

    image: uint8 RGB [H, W, 3] (or grey [H, W]) of any size. lines: strength of the ink, 0 to 1.
    Returns uint8 RGB [H, W, 3]. Every pixel depends only on its neighbourhood (about 30 pixels), never on the whole
    picture, so that a small convolutional network can learn the style. Deterministic.
    """
    image = _as_rgb(image)
    sharp = _smooth_colours(_to_lab(image), 1.0, passes=1, colour_sigma=6.0)
    smooth = _smooth_colours(sharp, 1.0, passes=3, colour_sigma=7.5)
    flat = _quantise(smooth[..., 0], step=14.0, sharpness=0.38)
    light = flat / 100.0
    lifted = 100.0 * (0.12 + 0.87 * np.clip(light, 0, 1) ** 0.86)
    warmth = _smoothstep(0.15, 0.9, light)
    a = smooth[..., 1] * 1.34 + 2.0 * warmth - 1.0
    b = smooth[..., 2] * 1.26 + 4.0 * warmth - 9.0 * (1.0 - warmth)
    drawn = _to_rgb(np.dstack([lifted, a, b]))
    ink = _ink_lines(sharp[..., 0] / 100.0, 1.0, sigma=0.9, low=0.014, high=0.042, least_area=20, zoom=1.0)
    drawn = _ink(drawn, ink * lines)
    return np.clip(drawn + 0.5, 0, 255).astype(np.uint8)


def comic(image: np.ndarray) -> np.ndarray:
    """Draw a whole photograph as an ink comic: few strong colours, thick and thin black lines, black shadows.

    image: uint8 RGB [H, W, 3] (or grey [H, W]) of any size. Returns uint8 RGB [H, W, 3]. Local and deterministic, as
    `anime` is. Lines: difference of Gaussians at two widths (Winnemoeller et al., 2006).
    """
    sharp = _smooth_colours(_to_lab(_as_rgb(image)), 1.0, passes=1, colour_sigma=6.0)
    smooth = _smooth_colours(sharp, 1.0, passes=4, colour_sigma=8.0)
    light = np.clip(_quantise(smooth[..., 0], step=22.0, sharpness=0.45) / 100.0, 0, 1)
    lifted = np.clip(100.0 * (0.10 + 0.93 * light**0.85), 0, 100)
    drawn = _to_rgb(np.dstack([lifted, smooth[..., 1] * 1.55, smooth[..., 2] * 1.5 + 3.0]))
    thin = _ink_lines(sharp[..., 0] / 100.0, 1.0, sigma=1.0, low=0.008, high=0.024, least_area=18, zoom=1.0)
    thick = _ink_lines(smooth[..., 0] / 100.0, 1.0, sigma=1.6, low=0.012, high=0.030, least_area=30, zoom=1.0)
    shadow = 1.0 - _smoothstep(9.0, 19.0, _blur(smooth[..., 0], 0.8))
    drawn = _lay(drawn, COMIC_INK_RGB, np.maximum(np.maximum(thin, thick), shadow))
    return np.clip(drawn + 0.5, 0, 255).astype(np.uint8)


def watercolour(image: np.ndarray) -> np.ndarray:
    """Paint a whole photograph in watercolour: white paper in the lights, clear washes, pencil lines.

    image: uint8 RGB [H, W, 3] (or grey [H, W]) of any size. Returns uint8 RGB [H, W, 3]. Local and deterministic, as
    `anime` is. The washes are four layers of pigment, each where the photo is darker than a tone, and denser inside its
    rim, where a drying wash leaves its pigment (Bousseau et al., "Interactive watercolor rendering", 2006).
    """
    sharp = _smooth_colours(_to_lab(_as_rgb(image)), 1.0, passes=1, colour_sigma=6.0)
    smooth = _smooth_colours(sharp, 1.0, passes=3, colour_sigma=8.0)
    light = np.clip(smooth[..., 0] / 100.0, 0, 1)
    pigment = 0.20 * (1.0 - light)
    for tone, amount in ((0.84, 0.09), (0.60, 0.18), (0.36, 0.22), (0.17, 0.12)):
        layer = 1.0 - _smoothstep(tone - 0.07, tone + 0.07, light)
        rim = np.clip(layer - _blur(layer, 2.6), 0, 1)
        pigment += amount * (0.88 * layer + 0.75 * rim)
    pigment += 0.0075 * np.clip(_blur(smooth[..., 0], 4.0) - sharp[..., 0], 0, 30)  # eyes and lips, by a fine brush
    colour = 0.35 + 1.55 * np.clip(pigment, 0, 0.6)
    lab = [np.clip(98.5 - 84.0 * pigment, 0, 100), smooth[..., 1] * 1.45 * colour, smooth[..., 2] * 1.35 * colour + 1.5]
    drawn = _to_rgb(np.dstack(lab))
    pencil = _ink_lines(sharp[..., 0] / 100.0, 1.0, sigma=0.8, low=0.012, high=0.045, least_area=14, zoom=1.0)
    dark = 0.30 * drawn + 0.35 * np.array(PENCIL_RGB, np.float32)
    drawn = drawn + (dark - drawn) * (0.6 * pencil)[..., None]
    return np.clip(drawn + 0.5, 0, 255).astype(np.uint8)


def edge_smoothed(image: np.ndarray, kernel: int = 5) -> np.ndarray:
    """Blur a picture along its edges only: what AnimeGAN's edge-promoting loss calls false.

    image: uint8 RGB [H, W, 3]. Canny edges are dilated by `kernel` and replaced there by a Gaussian blur of the same
    width (Chen et al., "CartoonGAN", 2018, section 3.2; AnimeGAN keeps the rule). Returns uint8 RGB [H, W, 3].
    """
    import cv2

    image = _as_rgb(image)
    edges = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 100, 200)
    near = cv2.dilate(edges, np.ones((kernel, kernel), np.uint8)) > 0
    blurred = cv2.GaussianBlur(image, (kernel, kernel), 0)
    return np.where(near[..., None], blurred, image)


class _Face(NamedTuple):
    """Where the skin of one face is and what it looks like; weights are float [H, W] in [0, 1]."""

    landmarks: np.ndarray  # [68, 2]
    skin: np.ndarray  # weight of skin, the neck and ears included
    calm: np.ndarray  # where lines would read as dirt: cheeks, forehead, chin
    tone: np.ndarray  # Lab [3], the ordinary skin colour of this person
    width: float  # between the outer eye corners, pixels


def _as_rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., :3], dtype=np.uint8)


def _to_lab(rgb: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(np.ascontiguousarray(rgb, np.float32) / np.float32(255), cv2.COLOR_RGB2Lab)


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    import cv2

    lab = np.ascontiguousarray(lab, np.float32)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1) * np.float32(255)


def _colour(lab: np.ndarray) -> np.ndarray:
    """RGB [3] of one Lab colour [3]."""
    return _to_rgb(np.asarray(lab, np.float32).reshape(1, 1, 3))[0, 0]


def _smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(values, (0, 0), max(float(sigma), 0.3))


def _whiten(rgb: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return rgb * weight[..., None] + np.float32(255) * (1.0 - weight[..., None])


def _grow(person: np.ndarray, scale: float) -> np.ndarray:
    """A soft mask widened by about one reference pixel, so that the outline on its border is not cut in half."""
    return _smoothstep(0.08, 0.42, _blur(person, 0.9 * scale))


def _without_islands(person: np.ndarray) -> np.ndarray:
    """Keep the largest piece of a mask and what hangs on it; a far speck would get an outline of its own."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats((person > 0.25).astype(np.uint8), connectivity=4)
    if count <= 2:
        return person
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= 0.2 * areas.max()
    keep[0] = True
    return person * keep[labels]


def _extend_person(rgb: np.ndarray, person: np.ndarray, scale: float) -> np.ndarray:
    """Continue the colours of the person into the background, so that no fringe of it enters the smoothing."""
    weight = _smoothstep(0.6, 0.95, person)
    filled = rgb
    for sigma in (8.0 * scale, 3.0 * scale, 1.2 * scale):
        share = _blur(weight, sigma)[..., None]
        near = _blur(rgb * weight[..., None], sigma) / np.maximum(share, 1e-4)
        known = np.clip(share * 20.0, 0, 1)
        filled = near * known + filled * (1 - known)
    return rgb * weight[..., None] + filled * (1 - weight[..., None])


def _smooth_colours(lab: np.ndarray, scale: float, passes: int, colour_sigma: float) -> np.ndarray:
    """Iterated bilateral filter: flattens texture and keeps steps. lab float32 [H, W, 3]."""
    import cv2

    sigma = max(1.0, 2.6 * scale)
    diameter = 2 * min(6, round(2 * sigma)) + 1  # the cost grows with the square; more passes reach further
    for index in range(passes):
        # Wider differences are merged once the texture is gone, so that late passes close gaps without eating edges.
        lab = cv2.bilateralFilter(lab, diameter, colour_sigma * (1.0 + 0.25 * index), sigma)
    return lab


def _quantise(values: np.ndarray, step: float, sharpness: float) -> np.ndarray:
    """Soft stairs: flat near multiples of `step`, smooth in between (continuous, so that noise does not flicker)."""
    shifted = values / step
    base = np.floor(shifted)
    rise = np.tanh((shifted - base - 0.5) * step * sharpness) / np.tanh(0.5 * step * sharpness)
    return (step * (base + 0.5 + 0.5 * rise)).astype(np.float32)


def _flat_palette(lab: np.ndarray) -> np.ndarray:
    """Few tones, slightly brighter and more saturated; blacks lifted to a dark tone that lines still show on."""
    light = _quantise(lab[..., 0], step=13.0, sharpness=0.55) / 100.0
    lifted = 100.0 * (0.11 + 0.89 * np.clip(light, 0, 1) ** 0.86)
    return np.dstack([lifted, lab[..., 1] * 1.22, lab[..., 2] * 1.18])


def _measure_face(lab: np.ndarray, person: np.ndarray, landmarks: np.ndarray) -> _Face:
    """Find the skin by its likeness to the cheeks and nose of the same face."""
    import cv2

    height, width = person.shape
    span = float(np.linalg.norm(landmarks[45] - landmarks[36])) + 1e-3
    inner = _polygon_mask(np.vstack([landmarks[1:16], landmarks[26:16:-1]]), (height, width))
    holes = _features(landmarks, (height, width), span)
    sample = (inner > 0.5) & (holes < 0.5) & (person > 0.5)
    pixels = lab[sample] if sample.sum() > 30 else lab.reshape(-1, 3)
    bright = pixels[pixels[:, 0] >= np.quantile(pixels[:, 0], 0.40)]  # beard, frames and shadow are the darker part
    tone = np.median(bright, axis=0).astype(np.float32)
    chroma = np.hypot(lab[..., 1] - tone[1], lab[..., 2] - tone[2])
    darker = np.clip(tone[0] - lab[..., 0], 0, None) / max(tone[0], 20.0)
    brighter = np.clip(lab[..., 0] - tone[0], 0, None) / 40.0
    strength = float(np.hypot(tone[1], tone[2]))
    # Stronger in colour than the face is still skin (a warm light); weaker is grey hair or a wall.
    stronger = _smoothstep(0.0, 6.0, np.hypot(lab[..., 1], lab[..., 2]) - strength)
    tolerance = 9.0 + 8.0 * brighter + 6.0 * stronger
    alike = np.exp(-0.5 * (chroma / tolerance) ** 2 - 0.5 * (darker / 0.30) ** 4 - 0.5 * brighter**4)
    # Far from the face a like colour is hair or cloth: the weight fades beyond the ears and the neck.
    centre = landmarks[[27, 30, 8]].mean(axis=0)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot((columns - centre[0]) / 1.15, (rows - centre[1]) / 1.55) / span
    near = 1.0 - _smoothstep(0.95, 1.35, distance)
    # Inside the face even a shine or a blush is skin; only what is much darker (beard, hair, frames) is not.
    forehead = inner.copy()
    up = (landmarks[27] - landmarks[8]) * 0.24
    above = np.vstack([landmarks[17:27], landmarks[26:16:-1] + up])
    cv2.fillConvexPoly(forehead, np.round(above).astype(np.int32), 1.0)
    forehead = _blur(forehead, 0.03 * span)
    tolerant = np.exp(-0.5 * (chroma / max(12.0, 0.55 * strength)) ** 2 - 0.5 * (darker / 0.36) ** 4)
    alike = np.maximum(alike, forehead * tolerant)
    skin = _blur((alike * near * person).astype(np.float32), 0.015 * span)
    calm = skin * (1.0 - _blur(cv2.dilate(holes, np.ones((3, 3), np.uint8)).astype(np.float32), 0.02 * span))
    return _Face(landmarks, np.clip(skin, 0, 1), np.clip(calm, 0, 1), tone, span)


def _features(landmarks: np.ndarray, shape: tuple[int, int], span: float) -> np.ndarray:
    """Where eyes, lips and brows are, a little widened: float [H, W], 1 inside."""
    import cv2

    holes = np.zeros(shape, np.float32)
    for part in (*EYES, OUTER_LIPS):
        holes = np.maximum(holes, _polygon_mask(landmarks[part], shape))
    holes = cv2.dilate(holes, np.ones((5, 5), np.uint8))
    for part in BROWS:
        cv2.polylines(holes, [np.round(landmarks[part]).astype(np.int32)], False, 1.0, max(2, round(0.09 * span)))
    return holes


def _paint_skin(colours: np.ndarray, smooth: np.ndarray, face: _Face) -> np.ndarray:
    """Two flat skin tones, lit and shaded, a little of the real modelling left in."""
    tone = face.tone
    modelling = _blur(smooth, 0.04 * face.width)
    # A little lighter, dark skin no more than light skin: it must stay the person's own. Colour rises with lightness.
    lifted = 100.0 * (0.05 + 0.95 * (tone[0] / 100.0) ** 0.85)
    strength = np.sqrt(lifted / max(tone[0], 10.0))
    red, yellow = tone[1] * 0.95 * strength, tone[2] * 1.08 * strength + 1.5
    red = 0.5 * red + 0.5 * np.clip(red, 0.55 * yellow, 0.85 * yellow)  # green walls and red lamps tint a face
    lit = np.array([lifted, red, yellow], np.float32)
    shaded = np.array([lifted * 0.88 - 1.5, lit[1] * 1.12 + 2.5, lit[2] * 1.10], np.float32)
    edge, half = 0.82 * tone[0], 0.03 * tone[0]
    shade = 1.0 - _smoothstep(edge - half, edge + half, modelling[..., 0])
    shine = _smoothstep(tone[0] + 9.0, tone[0] + 14.0, modelling[..., 0])
    painted = lit + (shaded - lit) * shade[..., None] + np.array([4.0, -1.0, 0.0], np.float32) * shine[..., None]
    weight = _smoothstep(0.15, 0.65, face.skin)[..., None]
    return colours + (painted - colours) * weight


def _simplified(smooth: np.ndarray, face: _Face | None, scale: float, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """Flat colours (Lab) and few lines (weight [H, W]); on the face next to none, for its features to be drawn."""
    colours = _flat_palette(smooth)
    lines = _ink_lines(smooth[..., 0] / 100.0, scale, sigma=1.0, low=0.012, high=0.034, least_area=14, zoom=zoom)
    if face is None:
        return colours, lines
    return _paint_skin(colours, smooth, face), lines * (1.0 - 0.85 * face.calm)


def _inked(photo: np.ndarray, smooth: np.ndarray, face: _Face, scale: float, zoom: float
           ) -> tuple[np.ndarray, np.ndarray]:
    """Flat colours (Lab), the skin's tones only where nothing happens, and the photo's thin and thick lines."""
    colours = _flat_palette(smooth)
    calm = _smoothstep(0.1, 0.7, _blur(face.calm, scale))[..., None]
    colours = colours + (_paint_skin(colours, smooth, face) - colours) * calm
    sharp = _smooth_colours(_to_lab(photo), scale, passes=1, colour_sigma=6.0)
    thin = _ink_lines(sharp[..., 0] / 100.0, scale, sigma=0.9, low=0.008, high=0.024, least_area=14, zoom=zoom)
    thick = _ink_lines(smooth[..., 0] / 100.0, scale, sigma=1.4, low=0.012, high=0.030, least_area=24, zoom=zoom)
    return colours, np.maximum(thin, thick) * (1.0 - 0.5 * face.calm)


def _ink_lines(
    light: np.ndarray, scale: float, sigma: float, low: float, high: float, least_area: float, zoom: float
) -> np.ndarray:
    """Dark lines on the dark side of edges: weight float32 [H, W] in [0, 1].

    light: [H, W] in [0, 1]. Difference of Gaussians, averaged along the direction of the edges, thresholded softly, and
    freed of specks: a stroke stays if it covers `least_area` square reference pixels and is somewhere clearly an edge.
    The work is done `zoom` times larger, which smooths the lines' borders.
    """
    import cv2

    height, width = light.shape
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    large = cv2.resize(light, size, interpolation=cv2.INTER_CUBIC) if zoom != 1.0 else light
    unit = scale * zoom  # working pixels per reference pixel
    edge = _blur(large, 1.6 * sigma * unit) - _blur(large, sigma * unit)
    edge = _along_edges(edge, large, reach=2.2 * unit)
    ink = _smoothstep(low, high, edge)
    ink = _without_specks(ink, least_area * unit * unit)
    if zoom != 1.0:
        ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(ink, 0, 1)


def _along_edges(values: np.ndarray, light: np.ndarray, reach: float, samples: int = 4) -> np.ndarray:
    """Average values along the tangent of the smoothed structure tensor, so that broken lines join."""
    import cv2

    dx = cv2.Sobel(light, cv2.CV_32F, 1, 0)
    dy = cv2.Sobel(light, cv2.CV_32F, 0, 1)
    xx, xy, yy = (_blur(product, reach) for product in (dx * dx, dx * dy, dy * dy))
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy) + np.float32(np.pi / 2)  # of the tangent
    tangent_x, tangent_y = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    rows, columns = np.indices(light.shape, dtype=np.float32)
    offsets = np.linspace(-reach, reach, 2 * samples + 1)
    weights = np.exp(-0.5 * (offsets / (0.5 * reach)) ** 2)
    weights /= weights.sum()
    for _ in range(2):  # two short straight passes follow a curve
        total = np.zeros_like(values)
        for offset, weight in zip(offsets.astype(np.float32), weights.astype(np.float32), strict=True):
            moved = cv2.remap(values, columns + offset * tangent_x, rows + offset * tangent_y, cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)
            total += weight * moved
        values = total
    return values


def _without_specks(ink: np.ndarray, least_area: float) -> np.ndarray:
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats((ink > 0.15).astype(np.uint8), connectivity=8)
    strong = np.bincount(labels[ink > 0.7], minlength=count) > 0
    keep = strong & (stats[:, cv2.CC_STAT_AREA] >= least_area)
    keep[0] = True
    return ink * keep[labels]


def _silhouette(person: np.ndarray, scale: float) -> np.ndarray:
    """A line on the border of the person."""
    soft = _blur(person, 1.0 * scale)
    return _smoothstep(0.15, 0.75, 1.0 - np.abs(2.0 * soft - 0.9))


def _ink(rgb: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Lay ink over colours: a line keeps some of the colour below, as coloured-pencil outlines do."""
    dark = 0.22 * rgb + 0.55 * np.array(INK_RGB, np.float32)
    return rgb + (dark - rgb) * weight[..., None]


def _polygon_mask(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import cv2

    canvas = np.zeros(shape, np.float32)
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return canvas


class _Pen:
    """Draws smooth shapes as weights [H, W] at a larger size, in the coordinates of the picture."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.zoom = max(1, round(2 * WORKING_SIZE / max(shape)))

    def fill(self, points: np.ndarray) -> np.ndarray:
        import cv2

        canvas = self._canvas()
        cv2.fillPoly(canvas, [self._fixed(points)], 255, cv2.LINE_AA, 4)
        return self._shrink(canvas)

    def disc(self, centre: np.ndarray, radius: float) -> np.ndarray:
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        return self.fill(centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1))

    def stroke(self, points: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """A line through `points` [N, 2] whose width [N] changes along it, ends included."""
        along = np.gradient(points, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-6
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1) * (np.asarray(widths) / 2)[:, None]
        return self.fill(np.vstack([points + normal, (points - normal)[::-1]]))

    def _canvas(self) -> np.ndarray:
        return np.zeros((self.shape[0] * self.zoom, self.shape[1] * self.zoom), np.uint8)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return np.round(((points + 0.5) * self.zoom - 0.5) * 16).astype(np.int32)

    def _shrink(self, canvas: np.ndarray) -> np.ndarray:
        import cv2

        small = cv2.resize(canvas, (self.shape[1], self.shape[0]), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / 255.0


def _curve(points: np.ndarray, count: int = 24, closed: bool = False) -> np.ndarray:
    """Catmull-Rom curve through `points` [N, 2], sampled [count, 2]."""
    points = np.asarray(points, np.float64)
    if closed:
        padded = np.vstack([points[-1], points, points[:2]])
    else:
        padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    segments = len(padded) - 3
    position = np.linspace(0, segments, count, endpoint=not closed)
    index = np.minimum(position.astype(int), segments - 1)
    t = (position - index)[:, None]
    p0, p1, p2, p3 = (padded[index + k] for k in range(4))
    return 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)


def _lay(rgb: np.ndarray, colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return rgb + (np.asarray(colour, np.float32) - rgb) * weight[..., None]


def _draw_features(rgb: np.ndarray, photo: np.ndarray, face: _Face) -> np.ndarray:
    """Redraw jaw, nose, brows, eyes and mouth from the landmarks, in colours taken from the photo."""
    pen = _Pen(rgb.shape[:2])
    lab = _to_lab(photo)
    line = np.array(INK_RGB, np.float32)
    rgb = _draw_jaw_and_nose(rgb, face, pen, line)
    for part in BROWS:
        rgb = _draw_brow(rgb, lab, face, part, pen)
    rgb = _draw_mouth(rgb, lab, face, pen, line)
    for part in EYES:
        rgb = _draw_eye(rgb, lab, face, part, pen, line)
    return rgb


def _draw_jaw_and_nose(rgb: np.ndarray, face: _Face, pen: _Pen, line: np.ndarray) -> np.ndarray:
    """Thin lines in the colour of the skin's shade, only on skin: a beard or a collar has lines of its own."""
    on_skin = _smoothstep(0.2, 0.6, face.skin)
    soft = 0.40 * rgb + 0.32 * line
    taper = np.sin(np.linspace(0.03, 0.97, 60) * np.pi)
    jaw = pen.stroke(_curve(face.landmarks[2:15], 60), 0.024 * face.width * taper**0.6)
    rgb = _lay(rgb, soft, 0.75 * jaw * on_skin)
    left, right = face.landmarks[31], face.landmarks[35]
    wing = 0.22 * (face.landmarks[30] - face.landmarks[33])
    outward = 0.10 * (right - left)
    base = np.vstack([left + wing - outward, left, face.landmarks[32:35], right, right + wing + outward])
    nose = pen.stroke(_curve(base, 60), 0.020 * face.width * (0.45 + 0.55 * taper))
    rgb = _lay(rgb, soft, 0.8 * nose)
    for outer, inner in ((31, 32), (35, 34)):
        nostril = np.vstack([face.landmarks[outer] * 0.55 + face.landmarks[inner] * 0.45,
                             face.landmarks[inner] * 0.9 + face.landmarks[33] * 0.1])
        dash = pen.stroke(_curve(nostril, 12), 0.040 * face.width * np.sin(np.linspace(0.1, 0.9, 12) * np.pi))
        rgb = _lay(rgb, line, 0.75 * dash)
    return rgb


def _draw_brow(rgb: np.ndarray, lab: np.ndarray, face: _Face, part: slice, pen: _Pen) -> np.ndarray:
    points = _curve(face.landmarks[part], 20)
    length = np.linalg.norm(points[-1] - points[0]) + 1e-3
    down = face.landmarks[33] - face.landmarks[27]
    down = down / (np.linalg.norm(down) + 1e-6)
    taper = 0.55 + 0.45 * np.sin(np.linspace(0.05, 1, 20) * np.pi)
    points = points + down * 0.05 * length
    band = pen.stroke(points, taper * 0.28 * length)
    light = _blur(lab[..., 0], 0.6)
    # Against its own surroundings, not only against the face: half a face may lie in shadow.
    around = _blur(lab[..., 0], 0.45 * length)
    locally = 1.5 * (around - light) / np.maximum(around, 12.0)
    darker = np.minimum(locally, (face.tone[0] - light) / max(face.tone[0], 20.0))
    hair = _blur(band * _smoothstep(0.10, 0.36, darker), 0.5)
    hair = np.maximum(hair, 0.55 * pen.stroke(points, taper * 0.09 * length))
    if hair.sum() < 1e-3:
        return rgb
    colour = np.median(lab[hair > 0.5 * hair.max()], axis=0)
    colour = np.array([np.clip(colour[0] * 0.75, 12, 45), colour[1], colour[2]], np.float32)
    return _lay(rgb, _colour(colour), np.clip(1.25 * hair, 0, 1))


def _draw_eye(rgb: np.ndarray, lab: np.ndarray, face: _Face, part: slice, pen: _Pen, line: np.ndarray) -> np.ndarray:
    points = face.landmarks[part].astype(np.float64)
    if part.start == 42:  # mirror the order so that index 0 is always the outer corner
        points = points[[3, 2, 1, 0, 5, 4]]
    width = np.linalg.norm(points[3] - points[0]) + 1e-3
    centre = points.mean(axis=0)
    points = centre + (points - centre) * 1.10
    upper, lower = points[[0, 1, 2, 3]], points[[0, 5, 4, 3]]
    opening = np.linalg.norm((upper[1] + upper[2]) / 2 - (lower[1] + lower[2]) / 2)
    lid = _curve(upper, 24)
    taper = np.sin(np.linspace(0.10, 0.97, 24) * np.pi) ** 0.7
    if opening > 0.12 * width:
        opened = pen.fill(np.vstack([lid, _curve(lower, 24)[::-1]]))
        inside = opened > 0.5
        if inside.sum() >= 4 and np.quantile(lab[inside][:, 0], 0.9) > 0.32 * face.tone[0]:
            rgb = _draw_eyeball(rgb, lab, opened, centre, opening, width, face, pen, line)
        rgb = _lay(rgb, 0.55 * rgb + 0.25 * line, 0.8 * pen.stroke(_curve(lower, 24), 0.035 * width * taper))
    outward = points[0] - points[3]
    wing = _curve(np.vstack([points[0] + 0.05 * outward, upper[1], upper[2], upper[3]]), 24)
    thickness = width * (0.04 + 0.085 * np.sin(np.linspace(0.18, 0.95, 24) * np.pi))
    return _lay(rgb, line, pen.stroke(wing, thickness))


def _draw_eyeball(
    rgb: np.ndarray, lab: np.ndarray, opened: np.ndarray, centre: np.ndarray, opening: float, width: float, face: _Face,
    pen: _Pen, line: np.ndarray,
) -> np.ndarray:
    """White, iris where the photo is dark, pupil and one catch light. `opened` [H, W] is 1 between the lids."""
    rows, columns = np.indices(opened.shape)
    dark = opened * np.clip(0.9 * np.quantile(lab[opened > 0.5][:, 0], 0.8) - _blur(lab, 0.5)[..., 0], 0, None) ** 2
    total = float(dark.sum())
    gaze = centre
    if total > 1e-3:
        seen = np.array([(dark * columns).sum(), (dark * rows).sum()]) / total
        gaze = centre + np.clip(seen - centre, -0.18 * width, 0.18 * width)
    radius = max(0.46 * opening, 0.21 * width)
    white = np.array([np.clip(0.35 * face.tone[0] + 68.0, 80, 96), 0.10 * face.tone[1], 1.0], np.float32)
    rgb = _lay(rgb, _colour(white), opened)
    iris = pen.disc(gaze, radius) * opened
    ring = iris * (1 - pen.disc(gaze, 0.5 * radius))
    colour = np.average(lab.reshape(-1, 3), axis=0, weights=ring.reshape(-1) + 1e-9)
    colour = np.array([np.clip(colour[0] * 0.95, 18, 54), colour[1] * 1.35, colour[2] * 1.35], np.float32)
    rgb = _lay(rgb, 0.5 * line, iris)
    rgb = _lay(rgb, _colour(colour), pen.disc(gaze, 0.82 * radius) * opened)
    rgb = _lay(rgb, 0.5 * line, pen.disc(gaze, 0.45 * radius) * opened)
    glint = pen.disc(gaze + np.array([0.30, -0.35]) * radius, 0.26 * radius) * opened
    return _lay(rgb, (255, 255, 255), glint)


def _draw_mouth(rgb: np.ndarray, lab: np.ndarray, face: _Face, pen: _Pen, line: np.ndarray) -> np.ndarray:
    outer, inner = face.landmarks[OUTER_LIPS], face.landmarks[INNER_LIPS]
    width = np.linalg.norm(outer[6] - outer[0]) + 1e-3
    lips = pen.fill(_curve(outer, 48, closed=True))
    opened = pen.fill(_curve(inner, 40, closed=True))
    gap = np.linalg.norm(inner[2] - inner[6])
    parted = gap > 0.08 * width
    only = lips * (1 - opened)
    if only.sum() > 4:
        colour = np.average(lab.reshape(-1, 3), axis=0, weights=only.reshape(-1))
        base = 100.0 * (0.10 + 0.90 * (colour[0] / 100.0) ** 0.85)
        lower = np.array([base, colour[1] * 1.25 + 5, colour[2] * 1.1 + 1], np.float32)
        upper = lower * np.array([0.86, 1.05, 1.0], np.float32)
        top = pen.fill(np.vstack([_curve(outer[:7], 30), _curve(inner[:5], 30)[::-1]]))
        rgb = _lay(rgb, _colour(lower), 0.8 * only)
        rgb = _lay(rgb, _colour(upper), 0.8 * np.minimum(top, only))
    if parted:
        pale = np.hypot(lab[..., 1], 0.6 * lab[..., 2]) / max(np.hypot(face.tone[1], 0.6 * face.tone[2]), 8.0)
        teeth = _smoothstep(0.50 * face.tone[0], 0.90 * face.tone[0], _blur(lab, 0.8)[..., 0])
        teeth = teeth * (1.0 - _smoothstep(0.75, 1.05, _blur(pale, 1.0)))
        rgb = _lay(rgb, (96, 40, 42), opened)
        rgb = _lay(rgb, (250, 246, 242), opened * teeth)
    taper = np.sin(np.linspace(0.03, 0.97, 30) * np.pi) ** 0.8
    middle = _curve((inner[:5] + inner[[0, 7, 6, 5, 4]]) / 2 if not parted else inner[:5], 30)
    rgb = _lay(rgb, line, 0.95 * pen.stroke(middle, 0.040 * width * taper))
    if parted:
        rgb = _lay(rgb, line, 0.8 * pen.stroke(_curve(inner[[0, 7, 6, 5, 4]], 30), 0.022 * width * taper))
    under = _curve(outer[[7, 8, 9, 10, 11]], 30)
    return _lay(rgb, 0.45 * rgb + 0.3 * line, 0.7 * pen.stroke(under, 0.022 * width * taper))
