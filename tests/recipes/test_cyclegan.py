"""CycleGAN: the picture pools in closed form, the loss terms against numpy, pools in the checkpoint."""
import numpy as np
import pytest

from ppgan_apps import config
from ppgan_apps.checkpoints import Parts, load_checkpoint, save_checkpoint
from ppgan_apps.errors import ConfigError

# isort: split
import paddle

from ppgan_apps.recipes.cyclegan import exchange

SIZE = 16


def run_of(tmp_path, *more):
    values = {"family": "cyclegan", "steps": 8, "batch_size": 1, "output": str(tmp_path),
              "data": {"path_a": "a", "path_b": "b", "size": SIZE, "load_size": SIZE},
              "recipe": {"ngf": 4, "n_blocks": 1, "ndf": 4, "n_layers": 2, **dict(more)}}
    return config.parse_run(values)


def recipe_of(run):
    paddle.seed(0)
    return config.recipe_class("cyclegan")(run)


def batch_of(step):
    random = np.random.default_rng(step)
    return {name: paddle.to_tensor(random.uniform(-1, 1, (1, 3, SIZE, SIZE)).astype("float32"))
            for name in ("real_a", "real_b")}


def numbered(first, count):
    """Pictures of one value each: their number."""
    column = np.arange(first, first + count, dtype="float32").reshape(-1, 1, 1, 1)
    return paddle.to_tensor(np.tile(column, (1, 3, 2, 2)))


def numbers(pictures):
    return pictures[:, 0, 0, 0].numpy().astype(int).tolist()


def test_the_first_fifty_pass_through_and_fill_the_pool():
    pool = paddle.zeros([50, 3, 2, 2])
    shown = [number for step in range(25)
             for number in numbers(exchange(pool, numbered(2 * step, 2), 2 * step, np.random.default_rng(step)))]
    assert shown == list(range(50)) and numbers(pool) == list(range(50))


def test_then_half_of_the_draws_give_an_older_picture_whose_place_the_new_one_takes():
    pool, older, expected = paddle.zeros([50, 3, 2, 2]), 0, list(range(50))
    exchange(pool, numbered(0, 50), 0, np.random.default_rng(0))
    for number in range(50, 850):
        shown, = numbers(exchange(pool, numbered(number, 1), number, np.random.default_rng([7, number])))
        if shown != number:
            older += 1
            expected[expected.index(shown)] = number           # an older one is in the pool, exactly once
    assert numbers(pool) == expected
    assert abs(older / 800 - 0.5) < 0.06                       # three deviations of a fair coin: 0.053


def test_a_batch_can_draw_what_it_has_just_put_in():
    pool = paddle.zeros([1, 3, 2, 2])
    shown = numbers(exchange(pool, numbered(0, 40), 0, np.random.default_rng(0)))
    assert shown[0] == 0 and set(shown) <= set(range(40)) and len(set(shown)) < 40
    assert all(number <= place for place, number in enumerate(shown))


def test_pools_survive_a_restart_bit_for_bit(tmp_path):
    run, folder = run_of(tmp_path, ("pool_size", 2)), None
    kept = []
    for first in (0, 4):                                       # an unbroken run, then one from its fourth step
        with paddle.utils.unique_name.guard():
            recipe = recipe_of(run)
            assert sorted(Parts.of(recipe).tensors) == ["pool_a", "pool_b"]
            assert not first or load_checkpoint(recipe, folder) == first
            for step in range(first, 7):
                recipe.train_step(batch_of(step), step)
                if step == 3:
                    folder = save_checkpoint(recipe, run, 4)
        kept.append({**{name: tensor.numpy() for name, tensor in Parts.of(recipe).tensors.items()},
                     **{f"{name}.{key}": value.numpy() for name, network in Parts.of(recipe).networks.items()
                        for key, value in network.state_dict().items()}})
    whole, resumed = kept
    assert len(np.unique(whole["pool_a"])) > SIZE and whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_terms_against_numpy(tmp_path):
    recipe, batch = recipe_of(run_of(tmp_path)), batch_of(0)
    real_a, real_b = batch["real_a"], batch["real_b"]
    with paddle.no_grad():
        fake_a, fake_b, terms = recipe._generator_terms(real_a, real_b)
        nets = {name: getattr(recipe, name) for name in ("netG_A", "netG_B", "netD_A", "netD_B")}
        out = {"fake_b": nets["netG_A"](real_a), "fake_a": nets["netG_B"](real_b), "back_a": nets["netG_B"](fake_b),
               "back_b": nets["netG_A"](fake_a), "same_a": nets["netG_B"](real_a), "same_b": nets["netG_A"](real_b),
               "D_A": nets["netD_A"](fake_b), "D_B": nets["netD_B"](fake_a)}
    out = {name: value.numpy() for name, value in out.items()}
    a, b = real_a.numpy(), real_b.numpy()
    np.testing.assert_array_equal(fake_a.numpy(), out["fake_a"])
    np.testing.assert_array_equal(fake_b.numpy(), out["fake_b"])
    expected = {"adversarial": ((out["D_A"] - 1) ** 2).mean() + ((out["D_B"] - 1) ** 2).mean(),
                "cycle": 10 * (np.abs(out["back_a"] - a).mean() + np.abs(out["back_b"] - b).mean()),
                "identity": 10 * 0.5 * (np.abs(out["same_a"] - a).mean() + np.abs(out["same_b"] - b).mean())}
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_discriminators_learn_from_half_of_the_least_squares(tmp_path):
    recipe, batch = recipe_of(run_of(tmp_path)), batch_of(0)
    with paddle.no_grad():
        real, fake = recipe.netD_A(batch["real_b"]).numpy(), recipe.netD_A(batch["real_a"]).numpy()
    losses = recipe._train_discriminators({**batch, "fake_a": batch["real_b"], "fake_b": batch["real_a"]})
    assert float(losses["D_A"]) == pytest.approx((((real - 1) ** 2).mean() + (fake**2).mean()) / 2, rel=1e-5)


def test_the_rate_falls_in_a_line_to_zero_after_half_of_the_steps(tmp_path):
    recipe, rates = recipe_of(run_of(tmp_path)), []
    for step in (0, 3, 4, 6, 7):
        recipe.train_step(batch_of(step), step)
        rates.append((recipe.opt_G.get_lr(), recipe.opt_D.get_lr()))
    assert rates == [pytest.approx((rate, rate)) for rate in (2e-4, 2e-4, 2e-4, 1e-4, 5e-5)]


def test_without_pools_and_identity_it_trains_too(tmp_path):
    recipe = recipe_of(run_of(tmp_path, ("pool_size", 0), ("identity_weight", 0)))
    assert set(recipe.train_step(batch_of(0), 0)) == {"D_A", "D_B", "adversarial", "cycle"}
    assert not Parts.of(recipe).tensors
    with pytest.raises(ConfigError, match="pool_size is -1"):
        run_of(tmp_path, ("pool_size", -1))
