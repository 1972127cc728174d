"""The compared generators written for PyTorch in its own idioms, for compare_engines.py: what a good port would run.

The same layers, channels and numbers of parameters as ppgan_apps/networks, random weights. StyleGAN2 scales activations
and not weights, which is the faster form on a processor.
"""
from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def build(name: str, size: int) -> nn.Module:
    """The generator `name` of compare_engines.CASES, evaluating."""
    made = {"animeganv2": AnimeGANv2, "photo2cartoon": Photo2Cartoon, "unet": UNet}
    return (StyleGAN2(size) if name == "stylegan2" else made[name]()).eval()


# AnimeGANv2

def _unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.GroupNorm(1, outputs),
            nn.LeakyReLU(0.2, inplace=True)]


def _inverted(inputs: int, outputs: int) -> list[nn.Module]:
    wide = 2 * inputs
    return [*_unit(inputs, wide, 1, padding=1), nn.Conv2d(wide, wide, 3, groups=wide), nn.GroupNorm(1, wide),
            nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(wide, outputs, 1, bias=False), nn.GroupNorm(1, outputs)]


class AnimeGANv2(nn.Sequential):
    """PaddleGAN's graph: zero-padding, no skips, half-pixel doubling."""

    def __init__(self):
        def doubled():
            return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        super().__init__(
            *_unit(3, 32, 7, padding=3), *_unit(32, 64, stride=2), *_unit(64, 64),
            *_unit(64, 128, stride=2), *_unit(128, 128), *_unit(128, 128),
            *_inverted(128, 256), *_inverted(256, 256), *_inverted(256, 256), *_inverted(256, 256), *_unit(256, 128),
            doubled(), *_unit(128, 128), *_unit(128, 128),
            doubled(), *_unit(128, 64), *_unit(64, 64), *_unit(64, 32, 7, padding=3),
            nn.Conv2d(32, 3, 1, bias=False), nn.Tanh())


# pix2pix's U-Net

class _Level(nn.Module):
    def __init__(self, outer: int, inner: int, inside: nn.Module | None):
        super().__init__()
        def norm(channels):
            return nn.BatchNorm2d(channels, track_running_stats=False)
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
        if inside is not None:
            down += [norm(inner), inside]
        widened = inner if inside is None else 2 * inner
        self.model = nn.Sequential(*down, nn.ReLU(), nn.ConvTranspose2d(widened, outer, 4, 2, 1, bias=False),
                                   norm(outer))

    def forward(self, x):
        return torch.cat([x, self.model(x)], 1)


class UNet(nn.Sequential):
    """Eight halvings, 64 maps, statistics of the picture at hand."""

    def __init__(self):
        level = _Level(512, 512, None)
        for _ in range(3):
            level = _Level(512, 512, level)
        for width in (256, 128, 64):
            level = _Level(width, 2 * width, level)
        super().__init__(nn.Conv2d(3, 64, 4, 2, 1, bias=False), level, nn.ReLU(),
                         nn.ConvTranspose2d(128, 3, 4, 2, 1), nn.Tanh())


# Photo2Cartoon

class _Pyramid(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.parts = nn.ModuleList([_pre_activated(channels, half), _pre_activated(half, quarter),
                                    _pre_activated(quarter, quarter)])

    def forward(self, x):
        first = self.parts[0](x)
        second = self.parts[1](first)
        return x + torch.cat([first, second, self.parts[2](second)], 1)


def _pre_activated(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.InstanceNorm2d(inputs), nn.ReLU(), _reflected(inputs, outputs))


def _reflected(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride, bias=False))


class _HourglassBody(nn.Module):
    def __init__(self, channels: int, depth: int = 4):
        super().__init__()
        self.skips = nn.ModuleList([_Pyramid(channels) for _ in range(depth)])
        self.down = nn.ModuleList([_Pyramid(channels) for _ in range(depth)])
        self.middle = _Pyramid(channels)
        self.up = nn.ModuleList([_Pyramid(channels) for _ in range(depth)])

    def forward(self, x):
        kept = []
        for skip, down in zip(self.skips, self.down):
            kept.append(skip(x))
            x = down(F.avg_pool2d(x, 2))
        x = self.middle(x)
        for up in self.up:
            x = kept.pop() + F.interpolate(up(x), scale_factor=2, mode="nearest")
        return x


class _Hourglass(nn.Module):
    def __init__(self, channels: int, last: bool = False):
        super().__init__()
        self.body = nn.Sequential(_HourglassBody(channels), _Pyramid(channels),
                                  nn.Conv2d(channels, channels, 1, bias=False), nn.InstanceNorm2d(channels), nn.ReLU())
        self.picture, self.last = nn.Conv2d(channels, 3, 1), last
        if not last:
            self.features, self.back = nn.Conv2d(channels, channels, 1), nn.Conv2d(3, channels, 1)

    def forward(self, x):
        features = self.body(x)
        picture = self.picture(features)
        return picture if self.last else x + self.features(features) + self.back(picture)


def _layer_instance_norm(x, rho, gamma, beta):
    variance, mean = torch.var_mean(x, (2, 3), keepdim=True)
    layer_variance, layer_mean = torch.var_mean(x, (1, 2, 3), keepdim=True)
    instance = (x - mean) * torch.rsqrt(variance + 1e-5)
    layer = (x - layer_mean) * torch.rsqrt(layer_variance + 1e-5)
    return (rho * instance + (1 - rho) * layer) * gamma + beta


class _LIN(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.rho, self.gamma, self.beta = (nn.Parameter(torch.full((1, channels, 1, 1), value))
                                           for value in (0.0, 1.0, 0.0))

    def forward(self, x):
        return _layer_instance_norm(x, self.rho, self.gamma, self.beta)


class _SoftAdaLIN(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        def two():
            return nn.Sequential(_linear(channels), nn.ReLU(), _linear(channels))
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))
        self.w_gamma, self.w_beta = nn.Parameter(torch.zeros(1, channels)), nn.Parameter(torch.zeros(1, channels))
        self.of_content, self.of_style = nn.ModuleList([two(), two()]), nn.ModuleList(
            [_linear(channels), _linear(channels)])

    def forward(self, x, content, style):
        gamma, beta = ((1 - share) * of_style(style) + share * of_content(content) for share, of_style, of_content
                       in zip((self.w_gamma, self.w_beta), self.of_style, self.of_content))
        return _layer_instance_norm(x, self.rho, gamma[:, :, None, None], beta[:, :, None, None])


def _linear(channels: int, outputs: int | None = None) -> nn.Linear:
    return nn.Linear(channels, outputs or channels, bias=False)


class _Encode(nn.Sequential):
    def __init__(self, channels: int):
        super().__init__(_reflected(channels, channels), nn.InstanceNorm2d(channels), nn.ReLU(),
                         _reflected(channels, channels), nn.InstanceNorm2d(channels))

    def forward(self, x):
        return x + super().forward(x)


class _Decode(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = _reflected(channels, channels), _reflected(channels, channels)
        self.norm1, self.norm2 = _SoftAdaLIN(channels), _SoftAdaLIN(channels)

    def forward(self, x, content, style):
        out = F.relu(self.norm1(self.first(x), content, style))
        return x + self.norm2(self.second(out), content, style)


class Photo2Cartoon(nn.Module):
    """The published size: ngf 32, four blocks, light, Linears without biases."""

    def __init__(self, ngf: int = 32, blocks: int = 4):
        super().__init__()
        wide = 4 * ngf
        down = [_reflected(3, ngf, 7), nn.InstanceNorm2d(ngf), nn.ReLU(), _Hourglass(ngf), _Hourglass(ngf)]
        for width in (ngf, 2 * ngf):
            down += [_reflected(width, 2 * width, stride=2), nn.InstanceNorm2d(2 * width), nn.ReLU()]
        self.down = nn.Sequential(*down)
        self.encode = nn.ModuleList([_Encode(wide) for _ in range(blocks)])
        self.decode = nn.ModuleList([_Decode(wide) for _ in range(blocks)])
        self.gap, self.gmp = _linear(wide, 1), _linear(wide, 1)
        self.mix = nn.Conv2d(2 * wide, wide, 1)
        self.style = nn.Sequential(_linear(wide), nn.ReLU(), _linear(wide), nn.ReLU())
        up = []
        for width in (wide, wide // 2):
            up += [nn.Upsample(scale_factor=2), _reflected(width, width // 2), _LIN(width // 2), nn.ReLU()]
        self.up = nn.Sequential(*up, _Hourglass(ngf), _Hourglass(ngf, last=True), _reflected(3, 3, 7), nn.Tanh())

    def forward(self, x):
        x = self.down(x)
        contents = []
        for block in self.encode:
            x = block(x)
            contents.append(x.mean((2, 3)))
        weighted = [x * linear.weight[:, :, None, None] for linear in (self.gap, self.gmp)]
        x = F.relu(self.mix(torch.cat(weighted, 1)))
        style = self.style(x.mean((2, 3)))
        for block, content in zip(self.decode, reversed(contents)):
            x = block(x, content, style)
        return self.up(x)


# StyleGAN2

class _EqualLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int, start: float = 0.0, rate: float = 1.0, activate: bool = False):
        super().__init__()
        gain = rate * (math.sqrt(2) if activate else 1)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), start))
        self.scale, self.bias_scale, self.activate = gain / math.sqrt(inputs), gain, activate

    def forward(self, x):
        x = F.linear(x, self.weight * self.scale, self.bias * self.bias_scale)
        return F.leaky_relu(x, 0.2) if self.activate else x


class _Modulated(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, width: int, doubles: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = _EqualLinear(width, inputs, 1.0)
        self.scale, self.kernel, self.doubles = 1 / math.sqrt(inputs * kernel ** 2), kernel, doubles
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("blur", (taps[:, None] * taps).expand(outputs, 1, 4, 4).contiguous(), persistent=False)

    def forward(self, x, w):
        style = self.modulation(w)
        weight = self.weight[0] * self.scale
        x = x * style[:, :, None, None]
        if self.kernel == 1:
            return F.conv2d(x, weight)
        norm = torch.rsqrt((style * style) @ weight.square().sum((2, 3)).T + 1e-8)
        if self.doubles:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = F.conv2d(x, self.blur, padding=1, groups=x.shape[1])
        else:
            x = F.conv2d(x, weight, padding=1)
        return x * norm[:, :, None, None]


class _Styled(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int, doubles: bool = False):
        super().__init__()
        self.conv = _Modulated(inputs, outputs, 3, width, doubles)
        self.noise, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x, w, noise):
        x = self.conv(x, w) + noise * self.noise
        return F.leaky_relu(x + self.bias[:, None, None], 0.2) * math.sqrt(2)


class _ToRGB(nn.Module):
    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.conv, self.bias = _Modulated(inputs, 3, 1, width), nn.Parameter(torch.zeros(1, 3, 1, 1))
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("kernel", (taps[:, None] * taps).expand(3, 1, 4, 4).contiguous(), persistent=False)

    def forward(self, x, w, picture):
        rgb = self.conv(x, w) + self.bias
        if picture is None:
            return rgb
        return rgb + F.conv_transpose2d(picture, self.kernel, stride=2, padding=1, groups=3)


class StyleGAN2(nn.Module):
    """Configuration F with stored noise: z [N, 512] to pictures [N, 3, size, size]."""

    def __init__(self, size: int, width: int = 512):
        super().__init__()
        def channels(side):
            return 512 if side <= 32 else min(512, 16384 // side * 2)
        self.mapping = nn.Sequential(*[_EqualLinear(width, width, rate=0.01, activate=True) for _ in range(8)])
        self.start = nn.Parameter(torch.randn(1, 512, 4, 4))
        self.convs, self.to_rgbs = nn.ModuleList([_Styled(512, 512, width)]), nn.ModuleList([_ToRGB(512, width)])
        sides, side = [4], 8
        while side <= size:
            self.convs += [_Styled(channels(side // 2), channels(side), width, True),
                           _Styled(channels(side), channels(side), width)]
            self.to_rgbs.append(_ToRGB(channels(side), width))
            sides += [side, side]
            side *= 2
        self.noises = [torch.randn(1, 1, side, side) for side in sides]

    def forward(self, z):
        w = self.mapping(z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8))
        x = self.convs[0](self.start.expand(len(z), -1, -1, -1), w, self.noises[0])
        picture = self.to_rgbs[0](x, w, None)
        for index, to_rgb in enumerate(self.to_rgbs[1:]):
            for conv, noise in zip(self.convs[2 * index + 1:2 * index + 3], self.noises[2 * index + 1:2 * index + 3]):
                x = conv(x, w, noise)
            picture = to_rgb(x, w, picture)
        return picture
