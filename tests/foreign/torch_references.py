"""What the other projects' networks compute, in PyTorch and in this suite's own words: the importer's results are
compared with these. No code of the suite is used."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.foreign import shapes

SLOPE, ROOT = 0.2, math.sqrt(2)


# ---------------------------------------------------------------------------------------------------------------------
# AnimeGANv2 (bryandlee/animegan2-pytorch)
# ---------------------------------------------------------------------------------------------------------------------
def animegan2(state: dict, x, aligned: bool = True):
    """x [N, 3, H, W] to [N, 3, H, W]; `state` holds tensors."""
    def norm(x, stem):
        return F.group_norm(x, 1, state[f"{stem}.weight"], state[f"{stem}.bias"])

    def unit(x, stem, stride=1):
        weight = state[f"{stem}.1.weight"]
        around = weight.shape[-1] // 2
        x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (around,) * 4, mode="reflect") if around else x
        return F.leaky_relu(norm(F.conv2d(x, weight, stride=stride), f"{stem}.2"), SLOPE)

    def bottleneck(x, stem):
        weight = state[f"{stem}.1.1.weight"]
        y = F.pad(unit(x, f"{stem}.0"), (1, 1, 1, 1), mode="reflect")
        y = F.conv2d(y, weight, state[f"{stem}.1.1.bias"], groups=len(weight))
        y = F.leaky_relu(norm(y, f"{stem}.1.2"), SLOPE)
        y = norm(F.conv2d(y, state[f"{stem}.2.weight"]), f"{stem}.3")
        return x + y if x.shape == y.shape else y

    for stem, stride in zip(shapes.TORCH_HEAD, (1, 2, 1, 2, 1, 1)):
        x = unit(x, stem, stride)
    for block in (1, 2, 3, 4):
        x = bottleneck(x, f"block_c.{block}.layers")
    for stem in shapes.TORCH_TAIL:
        if stem in ("block_d.0", "block_e.0"):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=aligned)
        x = unit(x, stem)
    return torch.tanh(F.conv2d(x, state["out_layer.0.weight"]))


# ---------------------------------------------------------------------------------------------------------------------
# StyleGAN2: the parts that rosinality's and NVlabs's have in common
# ---------------------------------------------------------------------------------------------------------------------
def binomial():
    row = torch.tensor([1.0, 3, 3, 1])
    return torch.outer(row, row) / 64


def filtered(x, before: int, after: int, gain: float = 1.0):
    """x [N, C, H, W] between zeros, each channel through the filter."""
    x = F.pad(x, (before, after, before, after))
    count, channels, height, width = x.shape
    y = F.conv2d(x.reshape(count * channels, 1, height, width), binomial()[None, None] * gain)
    return y.reshape(count, channels, *y.shape[2:])


def doubled(picture):
    """Zeros between the pixels, then the filter."""
    count, channels, height, width = picture.shape
    spread = torch.zeros(count, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = picture
    return filtered(spread, 2, 1, gain=4)


def modulated(x, weight, style, up: bool = False, demodulate: bool = True):
    """One convolution per image, with a weight of its own; x [N, in, H, W], weight [out, in, k, k], style [N, in]."""
    weight = weight / math.sqrt(weight[0].numel())
    images = []
    for image, factors in zip(x, style):
        own = weight * factors[None, :, None, None]
        if demodulate:
            own = own / torch.sqrt((own ** 2).sum((1, 2, 3), keepdim=True) + 1e-8)
        if up:
            images.append(filtered(F.conv_transpose2d(image[None], own.transpose(0, 1), stride=2), 1, 1, gain=4))
        else:
            images.append(F.conv2d(image[None], own, padding=own.shape[-1] // 2))
    return torch.cat(images)


def dense(x, weight, bias, multiplier: float = 1.0):
    return F.linear(x, weight * (multiplier / math.sqrt(weight.shape[1])), bias * multiplier)


def leaky(x):
    return F.leaky_relu(x, SLOPE) * ROOT


def normalised(z):
    return z / torch.sqrt((z ** 2).mean(1, keepdim=True) + 1e-8)


def _layer(x, w, weight, affine, strength, noise, bias, up=False):
    x = modulated(x, weight, dense(w, *affine), up) + strength * noise
    return leaky(x + bias[None, :, None, None])


def rosinality_generator(state: dict, z):
    """z [N, style_dim] to images, with the stored noise."""
    w = normalised(z)
    for layer in range(1, 1 + sum(name.startswith("style.") for name in state) // 2):
        w = leaky(dense(w, state[f"style.{layer}.weight"], state[f"style.{layer}.bias"], 0.01))

    def affine(stem):
        return state[f"{stem}.conv.modulation.weight"], state[f"{stem}.conv.modulation.bias"]

    def styled(x, stem, number, up=False):
        return _layer(x, w, state[f"{stem}.conv.weight"][0], affine(stem), state[f"{stem}.noise.weight"],
                      state[f"noises.noise_{number}"], state[f"{stem}.activate.bias"], up)

    def rgb(x, stem):
        style = dense(w, *affine(stem))
        return modulated(x, state[f"{stem}.conv.weight"][0], style, demodulate=False) + state[f"{stem}.bias"]

    x = styled(state["input.input"].repeat(len(z), 1, 1, 1), "conv1", 0)
    picture = rgb(x, "to_rgb1")
    for index in range(sum(name.startswith("to_rgbs.") and name.endswith("kernel") for name in state)):
        x = styled(x, f"convs.{2 * index}", 2 * index + 1, up=True)
        x = styled(x, f"convs.{2 * index + 1}", 2 * index + 2)
        picture = doubled(picture) + rgb(x, f"to_rgbs.{index}")
    return picture


def nvlabs_generator(state: dict, z, mapping_multiplier: float = 0.01):
    """z [N, w_dim] to images, with the stored noise."""
    w = normalised(z)
    for layer in range(sum(name.startswith("mapping.fc") for name in state) // 2):
        w = leaky(dense(w, state[f"mapping.fc{layer}.weight"], state[f"mapping.fc{layer}.bias"], mapping_multiplier))

    def layer(x, stem, up=False):
        affine = state[f"{stem}.affine.weight"], state[f"{stem}.affine.bias"]
        return _layer(x, w, state[f"{stem}.weight"], affine, state[f"{stem}.noise_strength"],
                      state[f"{stem}.noise_const"], state[f"{stem}.bias"], up)

    x, picture = state["synthesis.b4.const"].repeat(len(z), 1, 1, 1), None
    for size in sorted(int(name.split(".")[1][1:]) for name in state if name.endswith("torgb.bias")):
        block = f"synthesis.b{size}"
        if size > 4:
            x = layer(x, f"{block}.conv0", up=True)
        x = layer(x, f"{block}.conv1")
        style = dense(w, state[f"{block}.torgb.affine.weight"], state[f"{block}.torgb.affine.bias"])
        rgb = modulated(x, state[f"{block}.torgb.weight"], style, demodulate=False)
        rgb = rgb + state[f"{block}.torgb.bias"][None, :, None, None]
        picture = rgb if picture is None else doubled(picture) + rgb
    return picture


def discriminator(state: dict, images, names: dict[str, str]):
    """Images to logits [N, 1]. `names` gives, for each resolution and for the end, the stems of a project's names."""
    def convolved(x, stem, stride=1, padding=0):
        weight = state[f"{stem}.weight"]
        return F.conv2d(x, weight / math.sqrt(weight[0].numel()), stride=stride, padding=padding)

    def biased(x, name):
        return leaky(x + state[name][None, :, None, None])

    x = biased(convolved(images, names["rgb"]), names["rgb bias"])
    size = images.shape[-1]
    while size > 4:
        y = biased(convolved(x, names[f"{size} first"], padding=1), names[f"{size} first bias"])
        y = biased(convolved(filtered(y, 2, 2), names[f"{size} second"], stride=2), names[f"{size} second bias"])
        x = (y + convolved(filtered(x, 1, 1), names[f"{size} skip"], stride=2)) / ROOT
        size //= 2
    deviation = torch.sqrt(x.var(0, unbiased=False) + 1e-8).mean()     # of a batch of up to four, one group
    x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)
    x = biased(convolved(x, names["last"], padding=1), names["last bias"]).flatten(1)
    x = leaky(dense(x, state[f"{names['dense']}.weight"], state[f"{names['dense']}.bias"]))
    return dense(x, state[f"{names['logit']}.weight"], state[f"{names['logit']}.bias"])


def rosinality_names(size: int) -> dict[str, str]:
    names = {"rgb": "convs.0.0", "rgb bias": "convs.0.1.bias", "last": "final_conv.0", "last bias": "final_conv.1.bias",
             "dense": "final_linear.0", "logit": "final_linear.1"}
    block = 1
    while size > 4:
        names |= {f"{size} first": f"convs.{block}.conv1.0", f"{size} first bias": f"convs.{block}.conv1.1.bias",
                  f"{size} second": f"convs.{block}.conv2.1", f"{size} second bias": f"convs.{block}.conv2.2.bias",
                  f"{size} skip": f"convs.{block}.skip.1"}
        size, block = size // 2, block + 1
    return names


def nvlabs_names(size: int) -> dict[str, str]:
    names = {"rgb": f"b{size}.fromrgb", "rgb bias": f"b{size}.fromrgb.bias", "last": "b4.conv",
             "last bias": "b4.conv.bias", "dense": "b4.fc", "logit": "b4.out"}
    while size > 4:
        names |= {f"{size} first": f"b{size}.conv0", f"{size} first bias": f"b{size}.conv0.bias",
                  f"{size} second": f"b{size}.conv1", f"{size} second bias": f"b{size}.conv1.bias",
                  f"{size} skip": f"b{size}.skip"}
        size //= 2
    return names


# ---------------------------------------------------------------------------------------------------------------------
# pytorch-CycleGAN-and-pix2pix
# ---------------------------------------------------------------------------------------------------------------------
def cyclegan_norm(kind: str, channels: int) -> nn.Module:
    """"plain" is an instance norm behind convolutions without a bias."""
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


class Residual(nn.Module):
    def __init__(self, channels: int, norm: str, dropout: bool = False, reflect: bool = True):
        super().__init__()
        biased = norm == "instance"

        def half():
            pad = [nn.ReflectionPad2d(1)] if reflect else []
            return [*pad, nn.Conv2d(channels, channels, 3, padding=0 if reflect else 1, bias=biased),
                    cyclegan_norm(norm, channels)]

        self.conv_block = nn.Sequential(*half(), nn.ReLU(), *([nn.Dropout(0.5)] if dropout else []), *half())

    def forward(self, x):
        return x + self.conv_block(x)


class Model(nn.Module):
    """A Sequential called `model`, as every network of that project has it."""

    def __init__(self, *layers):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


def cyclegan_resnet(ngf: int, blocks: int, norm: str = "instance", dropout: bool = False, reflect: bool = True):
    biased = norm == "instance"
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7, bias=biased), cyclegan_norm(norm, ngf), nn.ReLU()]
    for width in (ngf, 2 * ngf):
        layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=biased), cyclegan_norm(norm, 2 * width), nn.ReLU()]
    layers += [Residual(4 * ngf, norm, dropout, reflect) for _ in range(blocks)]
    for width in (4 * ngf, 2 * ngf):
        layers += [nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1, bias=biased), cyclegan_norm(norm, width // 2),
                   nn.ReLU()]
    return Model(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh())


class Level(Model):
    def forward(self, x):
        return torch.cat([x, self.model(x)], 1)


class Outermost(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.model = Model(*layers)

    def forward(self, x):
        return self.model(x)


def pix2pix_unet(ngf: int, depth: int, norm: str = "batch"):
    biased = norm == "instance"
    widths = [ngf * min(2 ** level, 8) for level in range(depth)]
    level = None
    for outer, inner in list(zip(widths, widths[1:]))[::-1]:
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=biased)]
        middle = [] if level is None else [cyclegan_norm(norm, inner), level]
        up = [nn.ReLU(), nn.ConvTranspose2d(inner if level is None else 2 * inner, outer, 4, 2, 1, bias=biased),
              cyclegan_norm(norm, outer)]
        level = Level(*down, *middle, *up)
    # The outermost level is a Model within one: its names begin with model.model.
    return Outermost(
        nn.Conv2d(3, ngf, 4, 2, 1, bias=biased), level, nn.ReLU(), nn.ConvTranspose2d(2 * ngf, 3, 4, 2, 1), nn.Tanh())


def patchgan(inputs: int, ndf: int, layers: int, norm: str):
    widths = [ndf * min(2 ** layer, 8) for layer in range(layers + 1)]
    parts = [nn.Conv2d(inputs, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
    for number, (narrow, wide) in enumerate(zip(widths, widths[1:]), 1):
        parts += [nn.Conv2d(narrow, wide, 4, 2 if number < layers else 1, 1, bias=norm == "instance"),
                  cyclegan_norm(norm, wide), nn.LeakyReLU(0.2)]
    return Model(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 1))


# ---------------------------------------------------------------------------------------------------------------------
# minivision-ai/photo2cartoon
# ---------------------------------------------------------------------------------------------------------------------
class Pyramid(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        inputs = channels
        for number, share in ((1, 2), (2, 4), (3, 4)):
            part = nn.Sequential(nn.InstanceNorm2d(inputs), nn.ReLU(), nn.ReflectionPad2d(1),
                                 nn.Conv2d(inputs, channels // share, 3, bias=False))
            setattr(self, f"ConvBlock{number}", part)
            inputs = channels // share
        self.ConvBlock4 = nn.Sequential(nn.InstanceNorm2d(channels), nn.ReLU(),
                                        nn.Conv2d(channels, channels, 1, bias=False))   # stored, and never used

    def forward(self, x):
        one = self.ConvBlock1(x)
        two = self.ConvBlock2(one)
        return x + torch.cat([one, two, self.ConvBlock3(two)], 1)


class Hourglass(nn.Module):
    class Body(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            names = [f"{level}_{side}" for level in (1, 2, 3, 4) for side in (1, 2)] + ["5", "6", "7", "8", "9"]
            for name in names:
                setattr(self, f"ConvBlock{name}", Pyramid(channels))

        def forward(self, x, level: int = 1):
            """Recursive: past the halving, and through everything smaller."""
            if level == 5:
                return self.ConvBlock5(x)
            passed = getattr(self, f"ConvBlock{level}_1")(x)
            smaller = getattr(self, f"ConvBlock{level}_2")(F.avg_pool2d(x, 2))
            back = getattr(self, f"ConvBlock{10 - level}")(self.forward(smaller, level + 1))
            return passed + F.interpolate(back, scale_factor=2, mode="nearest")

    def __init__(self, channels: int, last: bool = False):
        super().__init__()
        self.HG = nn.Sequential(self.Body(channels), Pyramid(channels), nn.Conv2d(channels, channels, 1, bias=False),
                                nn.InstanceNorm2d(channels), nn.ReLU())
        self.Conv1, self.last = nn.Conv2d(channels, 3, 1), last
        if not last:
            self.Conv2, self.Conv3 = nn.Conv2d(channels, channels, 1), nn.Conv2d(3, channels, 1)

    def forward(self, x):
        features = self.HG(x)
        picture = self.Conv1(features)
        return picture if self.last else x + self.Conv2(features) + self.Conv3(picture)


def layer_instance(x, rho):
    instance = (x - x.mean((2, 3), keepdim=True)) / torch.sqrt(x.var((2, 3), keepdim=True) + 1e-5)
    layer = (x - x.mean((1, 2, 3), keepdim=True)) / torch.sqrt(x.var((1, 2, 3), keepdim=True) + 1e-5)
    return rho * instance + (1 - rho) * layer


class LIN(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        for name in ("rho", "gamma", "beta"):
            setattr(self, name, nn.Parameter(torch.rand(1, channels, 1, 1)))

    def forward(self, x):
        return layer_instance(x, self.rho) * self.gamma + self.beta


class SoftAdaLIN(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.Module()
        self.norm.rho = nn.Parameter(torch.rand(1, channels, 1, 1))
        self.w_gamma, self.w_beta = nn.Parameter(torch.rand(1, channels)), nn.Parameter(torch.rand(1, channels))
        for name in ("c_gamma", "c_beta"):
            two = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
            setattr(self, name, two)
        self.s_gamma, self.s_beta = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def forward(self, x, content, style):
        gamma = torch.lerp(self.s_gamma(style), self.c_gamma(content), self.w_gamma)
        beta = torch.lerp(self.s_beta(style), self.c_beta(content), self.w_beta)
        return layer_instance(x, self.norm.rho) * gamma[..., None, None] + beta[..., None, None]


class Decode(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, bias=False) for _ in range(2))
        self.norm1, self.norm2 = SoftAdaLIN(channels), SoftAdaLIN(channels)

    def forward(self, x, content, style):
        y = self.norm1(self.conv1(F.pad(x, (1, 1, 1, 1), mode="reflect")), content, style).relu()
        return x + self.norm2(self.conv2(F.pad(y, (1, 1, 1, 1), mode="reflect")), content, style)


def mirrored(pad: int, inputs: int, outputs: int, kernel: int, stride: int = 1) -> list:
    return [nn.ReflectionPad2d(pad), nn.Conv2d(inputs, outputs, kernel, stride, bias=False)]


class Photo2Cartoon(nn.Module):
    def __init__(self, ngf: int):
        super().__init__()
        wide = 4 * ngf
        self.ConvBlock1 = nn.Sequential(*mirrored(3, 3, ngf, 7), nn.InstanceNorm2d(ngf), nn.ReLU())
        for number in (1, 2, 3, 4):
            setattr(self, f"HourGlass{number}", Hourglass(ngf, last=number == 4))
            setattr(self, f"EncodeBlock{number}", Residual(wide, "plain"))
            setattr(self, f"DecodeBlock{number}", Decode(wide))
        for number, width in ((1, ngf), (2, 2 * ngf)):
            down = nn.Sequential(*mirrored(1, width, 2 * width, 3, 2), nn.InstanceNorm2d(2 * width), nn.ReLU())
            setattr(self, f"DownBlock{number}", down)
        for number, width in ((1, wide), (2, wide // 2)):
            up = nn.Sequential(nn.Upsample(scale_factor=2), *mirrored(1, width, width // 2, 3), LIN(width // 2),
                               nn.ReLU())
            setattr(self, f"UpBlock{number}", up)
        self.gap_fc, self.gmp_fc = nn.Linear(wide, 1), nn.Linear(wide, 1)
        self.conv1x1 = nn.Conv2d(2 * wide, wide, 1)
        self.FC = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU())
        self.ConvBlock2 = nn.Sequential(*mirrored(3, 3, 3, 7), nn.Tanh())

    def forward(self, x):
        x = self.DownBlock2(self.DownBlock1(self.HourGlass2(self.HourGlass1(self.ConvBlock1(x)))))
        contents = []
        for number in (1, 2, 3, 4):
            x = getattr(self, f"EncodeBlock{number}")(x)
            contents.append(x.mean((2, 3)))
        logits = torch.cat([self.gap_fc(x.mean((2, 3))), self.gmp_fc(x.amax((2, 3)))], 1)
        x = torch.cat([x * self.gap_fc.weight[..., None, None], x * self.gmp_fc.weight[..., None, None]], 1)
        x = self.conv1x1(x).relu()
        style = self.FC(x.mean((2, 3)))
        for number, content in zip((1, 2, 3, 4), contents[::-1]):
            x = getattr(self, f"DecodeBlock{number}")(x, content, style)
        x = self.HourGlass4(self.HourGlass3(self.UpBlock2(self.UpBlock1(x))))
        return self.ConvBlock2(x), logits


class Photo2CartoonDiscriminator(nn.Module):
    def __init__(self, ndf: int, layers: int):
        super().__init__()
        spectral = nn.utils.spectral_norm
        widths = [3, *(ndf * 2 ** layer for layer in range(layers - 1))]
        parts = []
        for number, (narrow, wide) in enumerate(zip(widths, widths[1:]), 1):
            stride = 1 if number == layers - 1 else 2
            parts += [nn.ReflectionPad2d(1), spectral(nn.Conv2d(narrow, wide, 4, stride)), nn.LeakyReLU(0.2)]
        self.model, wide = nn.Sequential(*parts), widths[-1]
        self.gap_fc, self.gmp_fc = (spectral(nn.Linear(wide, 1, bias=False)) for _ in range(2))
        self.conv1x1 = nn.Conv2d(2 * wide, wide, 1)
        self.conv = spectral(nn.Conv2d(wide, 1, 4, bias=False))

    def forward(self, x):
        x = self.model(x)
        logits = torch.cat([self.gap_fc(x.mean((2, 3))), self.gmp_fc(x.amax((2, 3)))], 1)
        raw = self.gap_fc.weight_orig, self.gmp_fc.weight_orig
        x = F.leaky_relu(self.conv1x1(torch.cat([x * weight[..., None, None] for weight in raw], 1)), 0.2)
        return self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect")), logits
