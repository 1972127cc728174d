"""Every weight file of the suite: the only addresses in the code, each with its licence as far as it is publicly known.

The suite's own licence does not extend to weights of others: most published ones are for non-commercial use, and where
the owner states nothing about the weights, the record says so. After an embedded file has changed,
`python -m ppgan_apps.zoo` prints the lines that belong into `EMBEDDED_SUMS`.
"""

from __future__ import annotations

import difflib
import json
import sys
from typing import Any

from . import downloads
from .errors import WeightsError
from .foreign import animegan2_pytorch
from .weights import EMBEDDED, PRETRAINED_FOLDER, ImageSpec, Pretrained

PADDLEGAN = "https://paddlegan.bj.bcebos.com/models/"
PADDLESEG = "https://paddleseg.bj.bcebos.com/dygraph/pp_humanseg_v2/"
ANIMEGAN2_PYTORCH = "https://github.com/bryandlee/animegan2-pytorch/raw/main/weights/"
IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
NVIDIA_LICENCE = "NVIDIA Source Code License-NC: non-commercial use only"

# Size in bytes and SHA-256 of the files in pretrained/, as `python -m ppgan_apps.zoo` prints them.
EMBEDDED_SUMS: dict[str, tuple[int, str]] = {
    "photo2cartoon-embedded.safetensors":
        (8_342_278, "06c4517b7c097fcae51f3a7c0f683b5a83947a927d0e2e451d53ac07e315452e"),
    "anime2real-embedded.safetensors":
        (5_725_134, "507e09a2718cad090d15372c5aeed19d730ad503f7899d326c72eb050d7b0b89"),
    "animeganv2-pastel.safetensors":
        (3_264_614, "4f082dbcdc150b2400ed8aba79cd5d190496b3f21cf27f69768b11c15db7b177"),
    "animeganv2-comic.safetensors":
        (3_264_670, "14688f2adf8de1653aceff2ed887e1d9d4fc4248cc4e6783575a4585750240c5"),
    "animeganv2-watercolour.safetensors":
        (3_264_670, "79749f38cd65c3c9d51e5dce5f82f2713bda45707ef197358744de5f2c53b778"),
    "dcgan-avatars.safetensors":
        (3_228_494, "b0d0377688edf32fe095ba5852d3e623a7c04e37c8c29ddaa076610585926a4f"),
    "stylegan2-avatars.safetensors":
        (1_022_426, "8bb152d52566c698b47fd454d7406226bb31a36b5b4fa456f296957d1ff542ed"),
    "faces-landmarks.safetensors":
        (1_295_376, "14f93db6b18b024d9c9717cf838ac7dbf7ae3ed5f0dc7a7a19759eadecf88ea9"),
    "faces-segmenter.safetensors":
        (300_810, "b7de425f283868b2e655e09cbf92b405c5d2733cf46b390ffc1ab2d85b8a2283"),
}


def _embedded(name: str, file: str, licence: str, source: str, size: int = 256, multiple_of: int = 1,
              brightness: str = "") -> Pretrained:
    # A network's constructor arguments stand in the file's own metadata.
    length, sha256 = EMBEDDED_SUMS.get(file, (0, ""))
    spec = ImageSpec(size=size, multiple_of=multiple_of, brightness=brightness)
    return Pretrained(name, EMBEDDED + file, sha256, length, licence, source, input=spec)


def _animegan2_pytorch(name: str) -> Pretrained:
    # Another project's file: read in its own layout, whose graph these arguments are.
    spec = ImageSpec(multiple_of=32, **animegan2_pytorch.INPUTS[name])
    return Pretrained(f"animeganv2/{name}", f"{ANIMEGAN2_PYTORCH}{name}.pt", licence=animegan2_pytorch.LICENCE,
                      source=animegan2_pytorch.PROJECT, layout="animegan2_pytorch",
                      network=animegan2_pytorch.ARGUMENTS, input=spec)


_RECORDS = (
    # ---- embedded: trained with this suite, a model card beside each
    _embedded(
        "photo2cartoon/embedded",
        "photo2cartoon-embedded.safetensors",
        licence="Apache-2.0",
        source="this suite, trained on generated portraits (CC0 1.0) and cartoons rendered from them",
    ),
    _embedded(
        "anime2real/embedded",
        "anime2real-embedded.safetensors",
        licence="Apache-2.0",
        source="this suite, trained on generated portraits (CC0 1.0) and cartoons rendered from them",
    ),
    _embedded(
        "animeganv2/pastel",
        "animeganv2-pastel.safetensors",
        licence="Apache-2.0",
        source="this suite, trained on generated portraits (CC0 1.0) and paintings rendered from them",
        multiple_of=32,
    ),
    *(_embedded(
        f"animeganv2/{style}",
        f"animeganv2-{style}.safetensors",
        licence="Apache-2.0",
        source="this suite, trained on generated portraits and photographs (CC0 1.0) and pictures rendered from them",
        multiple_of=32,
        brightness="own",
    ) for style in ("comic", "watercolour")),
    _embedded(
        "stylegan2/avatars",
        "stylegan2-avatars.safetensors",
        licence="CC-BY-4.0",
        source='this suite, trained on avatars "Adventurer" by Lisa Wischofsky (CC BY 4.0), drawn with DiceBear',
        size=128,
    ),
    _embedded(
        "dcgan/avatars",
        "dcgan-avatars.safetensors",
        licence="CC-BY-4.0",
        source='this suite, trained on avatars "Adventurer" by Lisa Wischofsky (CC BY 4.0), drawn with DiceBear',
        size=96,
    ),
    _embedded(
        "faces/landmarks",
        "faces-landmarks.safetensors",
        licence="Apache-2.0",
        source="this suite, trained on generated portraits (CC0 1.0) labelled by MediaPipe (Apache-2.0)",
    ),
    _embedded(
        "faces/segmenter",
        "faces-segmenter.safetensors",
        licence="Apache-2.0",
        source="this suite, trained on generated portraits (CC0 1.0) labelled by MediaPipe (Apache-2.0)",
    ),
    # ---- published, for the predictors
    Pretrained(
        name="photo2cartoon/paddlegan",
        url=PADDLEGAN + "photo2cartoon_genA2B_weight.pdparams",
        licence="MIT code (minivision-ai/photo2cartoon); nothing is stated about the weights, whose training pictures "
        "were collected from the internet: take it as non-commercial",
        source="PaddleGAN, after minivision-ai/photo2cartoon",
        network={"ngf": 32, "img_size": 256, "n_blocks": 4, "light": True},
    ),
    Pretrained(
        name="animeganv2/hayao",
        url=PADDLEGAN + "animeganv2_hayao.pdparams",
        licence="non-commercial purposes such as research and teaching (AnimeGANv2); trained on frames of a film",
        source="PaddleGAN, after TachibanaYoshino/AnimeGANv2",
        part="netG",
        input=ImageSpec(size=256, multiple_of=32),
    ),
    *(_animegan2_pytorch(name) for name in ("face_paint_512_v2", "face_paint_512_v1", "celeba_distill", "paprika")),
    Pretrained(
        name="stylegan2/ffhq",
        url=PADDLEGAN + "stylegan2-ffhq-config-f.pdparams",
        licence=f"{NVIDIA_LICENCE}; FFHQ pictures: CC BY-NC-SA 4.0",
        source="PaddleGAN, converted from NVlabs/stylegan2's stylegan2-ffhq-config-f",
        network={"size": 1024, "style_dim": 512, "n_mlp": 8, "channel_multiplier": 2},
        input=ImageSpec(size=1024),
    ),
    Pretrained(
        name="stylegan2/animeface-512",
        url=PADDLEGAN + "stylegan2-animeface-512.pdparams",
        licence="not stated by PaddleGAN; made with NVIDIA's StyleGAN2 code or a port of it: take it as non-commercial",
        source="PaddleGAN; the training pictures are not named",
        network={"size": 512, "style_dim": 512, "n_mlp": 8, "channel_multiplier": 2},
        input=ImageSpec(size=512),
    ),
    # ---- published, for their families' networks
    Pretrained(
        name="ugatit/selfie2anime",
        url=PADDLEGAN + "ugatit_light.pdparams",
        licence="Apache-2.0 code (PaddleGAN); nothing is stated about the weights or the selfie2anime pictures",
        source="PaddleGAN, U-GAT-IT light on selfie2anime",
        part="genA2B",
        network={"ngf": 64, "n_blocks": 4, "img_size": 256, "light": True},
    ),
    Pretrained(
        name="pix2pix/facades",
        url=PADDLEGAN + "Pixel2Pixel_facades.pdparams",
        licence="Apache-2.0 code (PaddleGAN); nothing is stated about the weights; CMP Facade pictures: CC BY-SA",
        source="PaddleGAN, pix2pix on CMP Facade",
        part="netG",
        network={"num_downs": 8, "ngf": 64},
    ),
    Pretrained(
        name="pix2pix/cityscapes",
        url=PADDLEGAN + "Pix2Pix_cityscapes.pdparams",
        licence="Apache-2.0 code (PaddleGAN); nothing is stated about the weights; Cityscapes: non-commercial use only",
        source="PaddleGAN, pix2pix on Cityscapes",
        part="netG",
        network={"num_downs": 8, "ngf": 64},
    ),
    Pretrained(
        name="cyclegan/horse2zebra",
        url=PADDLEGAN + "CycleGAN_horse2zebra.pdparams",
        licence="Apache-2.0 code (PaddleGAN); nothing is stated about the weights; the pictures are from ImageNet",
        source="PaddleGAN, CycleGAN on horse2zebra",
        part="netG_A",
        network={"ngf": 64, "n_blocks": 9},
        input=ImageSpec(size=256, multiple_of=4),
    ),
    Pretrained(
        name="cyclegan/cityscapes",
        url=PADDLEGAN + "CycleGAN_cityscapes.pdparams",
        licence="Apache-2.0 code (PaddleGAN); nothing is stated about the weights; Cityscapes: non-commercial use only",
        source="PaddleGAN, CycleGAN on Cityscapes",
        part="netG_A",
        network={"ngf": 64, "n_blocks": 9},
        input=ImageSpec(size=256, multiple_of=4),
    ),
    # ---- published, for losses and faces
    Pretrained(
        name="vgg19",
        url=PADDLEGAN + "vgg19.pdparams",
        licence="nothing is stated about this copy; the pictures are from ImageNet: take it as for research",
        source="PaddleGAN, VGG-19 (Simonyan and Zisserman 2014) trained on ImageNet",
        optional=("classifier.", "features."),  # losses stop at one of its layers
        input=ImageSpec(size=224, **IMAGENET),
    ),
    Pretrained(
        name="mobilenetv2",
        url="https://paddle-hapi.bj.bcebos.com/models/mobilenet_v2_x1.0.pdparams",
        licence="Apache-2.0 code (PaddlePaddle); the pictures are from ImageNet: take it as for research",
        source="Paddle, MobileNetV2 (Sandler et al. 2018) trained on ImageNet",
        optional=("classifier.", "features."),
        input=ImageSpec(size=224, **IMAGENET),
    ),
    Pretrained(
        name="inception",
        url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        size=95_628_359,
        licence="Apache-2.0 (TensorFlow models, pytorch-fid); the pictures are from ImageNet",
        source="mseitzer/pytorch-fid, converted from TensorFlow's inception-2015-12-05, on which FID is defined",
        input=ImageSpec(size=299),
    ),
    Pretrained(
        name="faces/mobilefacenet",
        url="https://www.dropbox.com/s/akktsgxp0n8cwn2/model_mobilefacenet.pth?dl=1",
        licence="MIT code (TreB1eN/InsightFace_Pytorch); weights trained on MS-Celeb-1M faces: non-commercial research",
        source="TreB1eN/InsightFace_Pytorch, the face recogniser of minivision-ai/photo2cartoon",
        input=ImageSpec(size=112),
    ),
    Pretrained(
        name="faces/dlib68",
        url="https://dlib.net/files/shape_predictor_68_face_landmarks.dat.bz2",  # the cache keeps it unpacked
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        size=99_693_937,
        licence="excludes commercial use (trained on iBUG 300-W; see davisking/dlib-models)",
        source="dlib, 68 points trained on iBUG 300-W (Sagonas et al. 2016)",
    ),
    Pretrained(
        name="faces/pp_humanseg",
        url=PADDLESEG + "human_pp_humansegv1_lite_192x192_pretrained.zip#model.pdparams",
        licence="Apache-2.0 (PaddleSeg)",
        source="PaddleSeg, PP-HumanSegV1-Lite 192x192 (Chu et al. 2021)",
        network={"num_classes": 2},
        input=ImageSpec(size=192),
    ),
    Pretrained(
        name="faces/fcn_hrnet_w18",
        url=PADDLEGAN + "faceseg_FCN-HRNetW18.pdparams",
        licence="Apache-2.0 code (PaddleGAN, PaddleSeg); nothing is stated about the weights",
        source="PaddleGAN, the head segmenter of its Photo2Cartoon",
        network={"num_classes": 2},
        input=ImageSpec(size=384),
    ),
)


def records() -> tuple[Pretrained, ...]:
    """Every weight file, those in the package first."""
    return _RECORDS


def styles(family: str) -> tuple[str, ...]:
    """What comes after the slash in the names of a family: ("pastel", "hayao") for "animeganv2"."""
    return tuple(record.name.split("/", 1)[1] for record in _RECORDS if record.name.startswith(family + "/"))


def get(name: str) -> Pretrained:
    """The record called `name`; "<family>/embedded" is the family's file in the package, whatever its style.

    Raises:
        WeightsError: there is none; the message lists names that are close, or those of the family.
    """
    family, _, style = name.partition("/")
    for record in _RECORDS:
        if record.name == name or (style == "embedded" and record.embedded and record.name.startswith(family + "/")):
            return record
    names = [record.name for record in _RECORDS]
    close = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    relatives = [known for known in names if known.startswith(family + "/")]
    raise WeightsError(f"There are no weights called {name!r}: choose from {', '.join(close or relatives or names)}.")


def main() -> int:
    """Prints the entry of `EMBEDDED_SUMS` for each embedded file, and to stderr those that are missing or changed."""
    for record in (record for record in _RECORDS if record.embedded):
        file = record.file().name
        if not record.available():
            print(f"{record.name}: {PRETRAINED_FOLDER / file} is missing", file=sys.stderr)
            continue
        facts = record.file().stat().st_size, downloads.sha256_of(record.file())
        print(f"    {json.dumps(file)}:\n        ({facts[0]:_}, {json.dumps(facts[1])}),")
        if EMBEDDED_SUMS.get(file) != facts:
            print(f"{record.name}: EMBEDDED_SUMS has another entry or none", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
