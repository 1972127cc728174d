"""Weight files of small random networks, for tests in which what a network draws does not matter."""
import numpy as np

from ppgan_apps.weights import save_weights


def write(path, network, **metadata):
    """Saves `network` with its constructor arguments, as training does."""
    state = {name: np.asarray(value.numpy()) for name, value in network.state_dict().items()}
    return save_weights(path, state, {"network": network.arguments, **metadata})


def write_all(folder) -> dict:
    """One file for each predictor, by the command's name."""
    import paddle

    from ppgan_apps.networks.animeganv2 import AnimeGANv2Generator
    from ppgan_apps.networks.photo2cartoon import Photo2CartoonGenerator
    from ppgan_apps.networks.stylegan2 import StyleGAN2Generator
    from ppgan_apps.networks.unet import UnetGenerator
    paddle.seed(0)
    networks = {"photo2cartoon": Photo2CartoonGenerator(ngf=4, img_size=64, n_blocks=1),
                "anime2real": UnetGenerator(num_downs=5, ngf=4),
                "animeganv2": AnimeGANv2Generator(lite=True),
                "styleganv2": StyleGAN2Generator(size=16, style_dim=16, n_mlp=2, channel_max=8)}
    families = {"anime2real": "pix2pix", "styleganv2": "stylegan2"}
    sizes = {"anime2real": {"input": {"size": 32}}}
    return {name: write(folder / f"{name}.safetensors", network, family=families.get(name, name), licence="CC0-1.0",
                        **sizes.get(name, {})) for name, network in networks.items()}
