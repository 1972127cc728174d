"""Entry points for paddle.hub: each predictor, ready to draw, and each generator as a paddle.nn.Layer.

paddle.hub.list(".", source="local"); paddle.hub.help(".", "animeganv2", source="local");
paddle.hub.load(".", "animeganv2", source="local", style="pastel").predict(photo)
"""
dependencies = ["paddle", "numpy", "cv2", "PIL", "safetensors"]


def photo2cartoon(style=None, weight_path=None, **options):
    """Photo2Cartoon predictor: uint8 RGB photo [H, W, 3] to the cartoon of a face in it, uint8 RGB [256, 256, 3].

    Args:
        style: weights of the zoo, "embedded" or "paddlegan"; None takes the published ones where they are at hand.
        weight_path: a weight file, a checkpoint, a run folder, an ONNX file or a Paddle program instead.
        options: faces ("largest" or "all"), paste_back, landmarks, segmenter, device, engine, output_path.
    Use `.predict(image)`, `.predict_batch(images)` or `.run(path)`.
    """
    import ppgan_apps
    return ppgan_apps.Photo2CartoonPredictor(style=style, weight_path=weight_path, **options)


def anime2real(style=None, weight_path=None, **options):
    """Anime2Real predictor: uint8 RGB picture of a drawn face to a photo-like one of the same shape, uint8 RGB.

    Args:
        style: weights of the zoo, "embedded"; None takes them.
        weight_path: a weight file, a checkpoint, a run folder, an ONNX file or a Paddle program instead.
        options: device, engine, output_path.
    """
    import ppgan_apps
    return ppgan_apps.Anime2RealPredictor(style=style, weight_path=weight_path, **options)


def animeganv2(style=None, weight_path=None, **options):
    """AnimeGANv2 predictor: uint8 RGB photo of any size to an anime of the same size, uint8 RGB.

    Args:
        style: weights of the zoo, "pastel" (in the package) or "hayao" (published); None takes the published ones where
            they are at hand.
        weight_path: a weight file, a checkpoint, a run folder, an ONNX file or a Paddle program instead.
        options: use_adjust_brightness, max_size, device, engine, output_path.
    """
    import ppgan_apps
    return ppgan_apps.AnimeGANv2Predictor(style=style, weight_path=weight_path, **options)


def styleganv2(model_type=None, weight_path=None, **options):
    """StyleGAN2 predictor: pictures from a seed, `.sample(count, seed)`, uint8 RGB [size, size, 3] each.

    Args:
        model_type: "ffhq-config-f", "animeface-512" or "avatars" (in the package).
        weight_path: a weight file, a checkpoint, a run folder, an ONNX file or a Paddle program instead.
        options: seed, device, engine, output_path; size, style_dim, n_mlp, channel_multiplier for a file that does not
            say.
    """
    import ppgan_apps
    return ppgan_apps.StyleGAN2Predictor(model_type=model_type, weight_path=weight_path, **options)


def animeganv2_generator(weights=None, **arguments):
    """AnimeGANv2's generator: photos [N, 3, H, W] in [-1, 1] to anime of the same shape, for multiples of 4.

    Args:
        weights: a record of the zoo, a weight file, a checkpoint or a run folder; None starts as for training.
        arguments: lite (False), the smaller published variant.
    """
    return _generator("animeganv2", "AnimeGANv2Generator", weights, **arguments)


def animegan_generator(weights=None, **arguments):
    """AnimeGAN's generator: photos [N, 3, H, W] in [-1, 1] to anime of the same shape, for multiples of 4.

    Args:
        weights: as of animeganv2_generator.
        arguments: channel (64), n_blocks (8).
    """
    return _generator("animegan", "AnimeGANGenerator", weights, **arguments)


def cartoongan_generator(weights=None, **arguments):
    """CartoonGAN's generator: photos [N, 3, H, W] in [-1, 1] to cartoons of the same shape, for multiples of 4.

    Args:
        weights: as of animeganv2_generator.
        arguments: ngf (64), n_blocks (8).
    """
    return _generator("cartoongan", "CartoonGANGenerator", weights, **arguments)


def photo2cartoon_generator(weights=None, **arguments):
    """Photo2Cartoon's generator: portraits [N, 3, H, W] in [-1, 1] to (cartoon, cam_logits, heatmap).

    Args:
        weights: as of animeganv2_generator.
        arguments: ngf (32), img_size (256), n_blocks (4), light (True).
    """
    return _generator("photo2cartoon", "Photo2CartoonGenerator", weights, **arguments)


def ugatit_generator(weights=None, **arguments):
    """U-GAT-IT's generator: pictures [N, 3, H, W] in [-1, 1] to (picture, cam_logits, heatmap).

    Args:
        weights: as of animeganv2_generator.
        arguments: ngf (64), n_blocks (4), img_size (256), light (False).
    """
    return _generator("ugatit", "UGATITGenerator", weights, **arguments)


def unet_generator(weights=None, **arguments):
    """pix2pix's U-Net: pictures [N, 3, H, W] in [-1, 1] to the same shape, for multiples of 2 ** num_downs.

    Args:
        weights: as of animeganv2_generator.
        arguments: num_downs (8), ngf (64), norm_type ("batch").
    """
    return _generator("unet", "UnetGenerator", weights, **arguments)


def resnet_generator(weights=None, **arguments):
    """CycleGAN's ResNet: pictures [N, 3, H, W] in [-1, 1] to the same shape, for multiples of 4.

    Args:
        weights: as of animeganv2_generator.
        arguments: ngf (64), n_blocks (9), norm_type ("instance").
    """
    return _generator("resnet", "ResnetGenerator", weights, **arguments)


def stylegan2_generator(weights=None, **arguments):
    """StyleGAN2's generator: z [N, style_dim], normally distributed, to pictures [N, 3, size, size].

    Args:
        weights: as of animeganv2_generator.
        arguments: size (needed without weights), style_dim (512), n_mlp (8), channel_multiplier (2), channel_max (512).
    """
    return _generator("stylegan2", "StyleGAN2Generator", weights, **arguments)


def pggan_generator(weights=None, **arguments):
    """Progressive GAN's generator: z [N, latent_dim], normally distributed, to pictures of the resolution it grew to.

    Args:
        weights: as of animeganv2_generator.
        arguments: size (1024), latent_dim (512), channel_multiplier (1), channel_max (512).
    """
    return _generator("pggan", "PGGANGenerator", weights, **arguments)


def stylegan_generator(weights=None, **arguments):
    """StyleGAN's generator: z [N, style_dim], normally distributed, to pictures of the resolution it grew to.

    Args:
        weights: as of animeganv2_generator.
        arguments: size (1024), style_dim (512), n_mlp (8), channel_multiplier (1), channel_max (512), noise (True).
    """
    return _generator("stylegan", "StyleGANGenerator", weights, **arguments)


def dcgan_generator(weights=None, **arguments):
    """DCGAN's generator: z [N, latent_dim], and labels [N] if there are classes, to pictures [N, channels, size, size].

    Args:
        weights: as of animeganv2_generator.
        arguments: size (32), latent_dim (100), width (64), channels (3), classes (0).
    """
    return _generator("dcgan", "DCGANGenerator", weights, **arguments)


def avatar_generator(weights=None, **arguments):
    """The 96-pixel DCGAN's generator: z [N, 72] to pictures [N, channels, 96, 96] in [-1, 1].

    Args:
        weights: as of animeganv2_generator.
        arguments: latent_dim (72), width (64), channels (3).
    """
    return _generator("dcgan", "AvatarGenerator", weights, **arguments)


def mlp_generator(weights=None, **arguments):
    """The first GAN's generator: z [N, latent_dim] to pictures [N, channels, size, size] in [-1, 1].

    Args:
        weights: as of animeganv2_generator.
        arguments: size (28), latent_dim (100), width (1200), channels (1).
    """
    return _generator("mlp", "MLPGenerator", weights, **arguments)


def _generator(module, name, weights, **arguments):
    """A generator of ppgan_apps/networks, evaluating. Weights that say how their network is built overrule defaults."""
    from importlib import import_module

    import ppgan_apps  # noqa: F401 - settles Paddle's flags
    from ppgan_apps.errors import WeightsError
    from ppgan_apps.export import load
    build = getattr(import_module(f"ppgan_apps.networks.{module}"), name)
    if weights is None:
        network = build(**arguments)
    else:
        network, _ = load(weights, arguments)
        if type(network) is not build:
            raise WeightsError(f"{weights} is a {type(network).__name__}: load it as that.")
    network.eval()
    return network
