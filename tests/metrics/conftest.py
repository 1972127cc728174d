"""Small drawn pictures, and ways to spoil them by degrees."""
import cv2
import numpy as np
import pytest


def drawn_face(random, side=64):
    """A face of a random colour, place and hair on a random pale ground, uint8 [side, side, 3]."""
    canvas = np.full((side, side, 3), random.randint(230, 256, 3), np.uint8)
    x, y = side // 2 + random.randint(-4, 5, 2)
    skin, hair = random.randint(150, 210, 3).tolist(), random.randint(30, 90, 3).tolist()
    cv2.ellipse(canvas, (int(x), int(y - 4)), (20, 22), 0, 180, 360, hair, -1, cv2.LINE_AA)
    cv2.ellipse(canvas, (int(x), int(y + 4)), (16, int(random.randint(16, 22))), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for eye in (-6, 6):
        cv2.circle(canvas, (int(x + eye), int(y)), int(random.randint(2, 4)), (20, 20, 20), -1, cv2.LINE_AA)
    cv2.ellipse(canvas, (int(x), int(y + 12)), (6, int(random.randint(1, 5))), 0, 0, 180, (160, 40, 40), -1)
    return canvas


def swirled(picture, angle):
    """The picture turned around its middle, most in the middle itself."""
    side = len(picture)
    y, x = np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2
    radius, turned = np.hypot(x, y), np.arctan2(y, x) + angle * np.exp(-3 * np.hypot(x, y) / side)
    places = [(side - 1) / 2 + radius * wave(turned) for wave in (np.cos, np.sin)]
    return cv2.remap(picture, *(place.astype(np.float32) for place in places), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)


def noisy(picture, deviation):
    grain = np.random.RandomState(1).normal(0, deviation, picture.shape)
    return np.clip(picture + grain, 0, 255).round().astype(np.uint8)


SPOILED = {
    "blur": [lambda p, s=strength: cv2.GaussianBlur(p, (0, 0), s) for strength in (1, 2, 4)],
    "noise": [lambda p, s=strength: noisy(p, s) for strength in (15, 40, 90)],
    "swirl": [lambda p, s=strength: swirled(p, s) for strength in (0.7, 1.5, 3)],
}


@pytest.fixture(params=SPOILED)
def spoiled(request):
    """Three functions that do the same to a picture, each more than the one before."""
    return SPOILED[request.param]


@pytest.fixture(scope="session")
def faces():
    """80 drawn faces."""
    random = np.random.RandomState(0)
    return [drawn_face(random) for _ in range(80)]
