"""PatchGAN discriminator of pix2pix and CycleGAN (Isola et al. 2017, section 3.2.2); published name: `model`."""
from __future__ import annotations

import paddle.nn as nn

from .layers import convolution, norm_layer, normal_attr


class NLayerDiscriminator(nn.Layer):
    """Images [N, input_nc, H, W] to one logit per overlapping patch; [N, 6, 256, 256] to [N, 1, 30, 30].

    Args:
        input_nc: channels; 6 for pix2pix, which judges input and output together.
        ndf: feature maps of the first layer.
        n_layers: strided layers; 3 makes each logit see 70 x 70 pixels.
        norm_type: "batch" (pix2pix), "instance" (CycleGAN; its convolutions then have a bias) or "none".
        use_sigmoid: probabilities instead of logits.
        first_biased: whether the first convolution, which no norm follows, has a bias; None: as the others (PaddleGAN).
            The PyTorch original's always has.
    Weights start as N(0, 0.02). Raises ValueError for an unknown norm.
    """

    def __init__(self, input_nc: int = 6, ndf: int = 64, n_layers: int = 3, norm_type: str = "batch",
                 use_sigmoid: bool = False, first_biased: bool | None = None):
        super().__init__()
        self.arguments = {"input_nc": input_nc, "ndf": ndf, "n_layers": n_layers, "norm_type": norm_type,
                          "use_sigmoid": use_sigmoid, "first_biased": first_biased}
        biased = norm_type == "instance"
        widths = [ndf * min(2 ** layer, 8) for layer in range(n_layers + 1)]
        layers = [_convolution(input_nc, widths[0], 2, biased if first_biased is None else first_biased),
                  nn.LeakyReLU(0.2)]
        for layer, (narrow, wide) in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
            stride = 2 if layer < n_layers else 1
            layers += [_convolution(narrow, wide, stride, biased), norm_layer(norm_type, wide), nn.LeakyReLU(0.2)]
        layers.append(_convolution(widths[-1], 1, 1, True))
        if use_sigmoid:
            layers.append(nn.Sigmoid())
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


def _convolution(inputs: int, outputs: int, stride: int, biased: bool) -> nn.Conv2D:
    return convolution(inputs, outputs, 4, stride, 1, weight_attr=normal_attr(), biased=biased)
