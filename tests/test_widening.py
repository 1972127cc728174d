"""A widened U-Net draws what the narrow one drew, and its copies can learn apart."""
import numpy as np
import paddle
import pytest

from ppgan_apps.errors import WeightsError
from ppgan_apps.networks.unet import UnetGenerator
from ppgan_apps.widening import widen, width_of


def uneven(network):
    """The same network with norm scales and biases away from 1 and 0, as training leaves them."""
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.set_value(parameter + 0.3 * paddle.randn(parameter.shape))
    return network


@pytest.mark.parametrize("norm, num_downs, widths", [("instance", 5, (3, 5)), ("instance", 6, (4, 4)),
                                                     ("batch", 6, (2, 7))])
def test_the_pictures_are_the_same(norm, num_downs, widths):
    paddle.seed(3)
    narrow, wide = (UnetGenerator(num_downs=num_downs, ngf=ngf, norm_type=norm) for ngf in widths)
    state = uneven(narrow).state_dict()
    picture = paddle.rand([1, 3, 64, 64]) * 2 - 1
    assert width_of(state) == widths[0]
    widen(wide, state)
    narrow.eval(), wide.eval()
    with paddle.no_grad():
        np.testing.assert_allclose(wide(picture).numpy(), narrow(picture).numpy(), atol=2e-5)


def test_copies_get_other_gradients_than_their_originals():
    paddle.seed(3)
    narrow, wide = UnetGenerator(num_downs=5, ngf=2, norm_type="instance"), UnetGenerator(
        num_downs=5, ngf=4, norm_type="instance")
    widen(wide, uneven(narrow).state_dict())
    wide(paddle.rand([1, 3, 64, 64])).abs().mean().backward()
    gradient = wide.state_dict()["model.model.1.model.5.weight"].grad.numpy()     # [16, 4, 4, 4], reads 8 + 8 maps
    pairs = [abs(gradient[:, one] - gradient[:, other]).max() for one in range(4) for other in range(one)]
    assert min(pairs) > 1e-3 * abs(gradient).max()


def test_other_weights_are_refused():
    with pytest.raises(WeightsError):
        widen(UnetGenerator(num_downs=6, ngf=4, norm_type="instance"),
              UnetGenerator(num_downs=5, ngf=2, norm_type="instance").state_dict())
