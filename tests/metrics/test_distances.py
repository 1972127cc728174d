"""FID, KID, precision and recall against closed forms, scipy, constructed clouds and torch-fidelity."""
import numpy as np
import pytest
from scipy import linalg

from ppgan_apps.metrics.features import Features, FeatureSpace
from ppgan_apps.metrics.fid import fid, frechet_distance, frechet_distance_of_moments
from ppgan_apps.metrics.kid import kernel_distances, kid, squared_mmd
from ppgan_apps.metrics.precision_recall import manifold_shares, precision_recall


class Named(FeatureSpace):
    """A space with a name and no network."""

    sha256, size, resizer = "none", 0, "none"

    def __init__(self, is_inception):
        self.name, self.is_inception = "numbers", is_inception


def clouds(rows=(300, 200), columns=12, seed=0):
    """Two sets of features that overlap in part."""
    random = np.random.RandomState(seed)
    spread = random.rand(columns, columns)
    return (random.randn(rows[0], columns).astype(np.float32),
            (0.7 * random.randn(rows[1], columns) @ spread + 0.2).astype(np.float32))


def scipy_frechet(mean_1, covariance_1, mean_2, covariance_2):
    root = linalg.sqrtm(covariance_1 @ covariance_2)
    return ((mean_1 - mean_2) ** 2).sum() + np.trace(covariance_1 + covariance_2 - 2 * root.real)


# Frechet

def test_frechet_of_independent_gaussians_in_closed_form():
    mean_1, mean_2 = np.array([1.0, 2, 3]), np.array([0.0, 2, 5])
    deviation_1, deviation_2 = np.array([1.0, 2, 3]), np.array([2.0, 2, 0.5])
    expected = ((mean_1 - mean_2) ** 2).sum() + ((deviation_1 - deviation_2) ** 2).sum()
    found = frechet_distance_of_moments(mean_1, np.diag(deviation_1 ** 2), mean_2, np.diag(deviation_2 ** 2))
    assert found == pytest.approx(expected, rel=1e-12)


def test_frechet_of_turned_gaussians_in_closed_form():
    """Covariances with the same axes, which are not those of the coordinates."""
    axes = linalg.qr(np.random.RandomState(0).randn(5, 5))[0]
    one, other = np.array([4.0, 1, 9, 0.25, 0]), np.array([1.0, 1, 4, 0, 0])
    found = frechet_distance_of_moments(np.zeros(5), axes * one @ axes.T, np.zeros(5), axes * other @ axes.T)
    assert found == pytest.approx(((np.sqrt(one) - np.sqrt(other)) ** 2).sum(), abs=1e-7)


def test_frechet_of_samples_equals_scipy():
    real, fake = (entry.astype(np.float64) for entry in clouds())
    moments = [value for cloud in (real, fake) for value in (cloud.mean(0), np.cov(cloud, rowvar=False))]
    expected = scipy_frechet(*moments)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance_of_moments(*moments) == pytest.approx(expected, rel=1e-7)


def test_frechet_with_fewer_pictures_than_dimensions():
    """Rank-deficient covariances: in the subspace that the rows span, the distance is an ordinary one."""
    random = np.random.RandomState(3)
    real, fake = random.randn(30, 6), random.randn(20, 6) * 2 + 1
    axes = linalg.qr(random.randn(100, 6), mode="economic")[0]                          # [100, 6]
    expected = frechet_distance(real, fake)
    assert frechet_distance(real @ axes.T, fake @ axes.T) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(real @ axes.T, real @ axes.T) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(real[:4] @ axes.T, fake @ axes.T) > 0


def test_a_shift_costs_its_square():
    real, _ = clouds()
    assert frechet_distance(real, real + np.float32(0.5)) == pytest.approx(12 * 0.25, rel=1e-5)


# Kernel

def test_mmd_by_summing_pairs():
    random = np.random.RandomState(0)
    first, second = random.randn(7, 3), random.randn(5, 3) + 1

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3
    expected = (sum(kernel(x, y) for i, x in enumerate(first) for j, y in enumerate(first) if i != j) / (7 * 6)
                + sum(kernel(x, y) for i, x in enumerate(second) for j, y in enumerate(second) if i != j) / (5 * 4)
                - 2 * sum(kernel(x, y) for x in first for y in second) / 35)
    assert squared_mmd(first, second) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_of_gaussians_in_closed_form():
    """In one dimension k(x, y) = (x y + 1)^3, so MMD^2 is the sum over the moments of 3 (m1 - m1')^2 and so on."""
    random = np.random.RandomState(0)
    shift, scale = 0.5, 1.5
    moments = [(0, 1, 0), (shift, scale ** 2 + shift ** 2, shift ** 3 + 3 * shift * scale ** 2)]
    expected = sum(weight * (one - other) ** 2 for weight, one, other in zip((3, 3, 1), *moments))
    found = kernel_distances(random.randn(30_000, 1), random.randn(30_000, 1) * scale + shift, 40, 700, 0)
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(40)


def test_subsets_of_whole_matrices_and_one_by_one_are_the_same():
    """Many small subsets are summed out of the whole sets' kernels; each is the MMD of its rows."""
    real, fake = clouds((30, 25))
    random = np.random.RandomState(4)
    chosen = [(random.choice(25, 10, replace=False), random.choice(30, 10, replace=False)) for _ in range(50)]
    expected = [squared_mmd(real[rows].astype(float), fake[columns].astype(float)) for columns, rows in chosen]
    np.testing.assert_allclose(kernel_distances(real, fake, 50, 10, 4), expected, rtol=1e-9)
    np.testing.assert_allclose(kernel_distances(real, fake, 5, 10, 4), expected[:5], rtol=1e-9)


def test_kernel_distance_is_unbiased():
    """Between two sets of one distribution it is 0 on average, of both signs."""
    random = np.random.RandomState(1)
    found = np.array([squared_mmd(random.randn(20, 4), random.randn(20, 4)) for _ in range(400)])
    assert abs(found.mean()) < 4 * found.std() / 20 and found.min() < 0 < found.max()


# Precision and recall

def test_precision_and_recall_of_constructed_clouds():
    """Real pictures on two islands; the generator knows one of them, and half of what it makes is on none."""
    random = np.random.RandomState(0)
    island = random.rand(100, 2)
    real = np.concatenate([island, island + 100])
    fake = np.concatenate([island[:50] + 1e-3, random.rand(50, 2) + 1000])
    precision, recall = manifold_shares(real, fake)
    assert precision == 0.5 and 0.4 < recall <= 0.5
    assert manifold_shares(real, real) == (1, 1)
    assert manifold_shares(real, real + 5000) == (0, 0)


def test_the_ball_reaches_the_third_neighbour_and_includes_its_edge():
    real = np.array([[0.0], [1], [2], [3]])
    assert manifold_shares(real, np.array([[-3.0], [-3.01], [6.0], [6.01], [2.5]]), 3)[0] == 3 / 5
    assert manifold_shares(real, np.array([[-1.0], [-1.01], [4.0], [4.01], [2.5]]), 1)[0] == 3 / 5


def test_blocks_of_rows_change_nothing(monkeypatch):
    from ppgan_apps.metrics import precision_recall as module
    real, fake = clouds()
    whole = manifold_shares(real, fake)
    monkeypatch.setattr(module, "_ROWS", 37)
    assert manifold_shares(real, fake) == whole and 0 < whole[0] < 1 and 0 < whole[1] < 1


# Results

def test_only_inception_features_give_fid_and_kid():
    real, fake = clouds()
    names = {inception: [measure(Features(real, Named(inception)), Features(fake, Named(inception))).metric
                         for measure in (fid, kid, precision_recall)] for inception in (True, False)}
    assert names == {True: ["FID", "KID", "precision and recall"],
                     False: ["Frechet distance", "kernel distance", "precision and recall"]}


def test_results_state_their_protocol():
    real, fake = (Features(cloud, Named(False)) for cloud in clouds())
    result = kid(real, fake, subsets=10, seed=5)
    assert result.protocol == {"features": "numbers", "sha256": "none", "resizer": "none", "input_size": 0,
                               "real": 300, "generated": 200, "subsets": 10, "subset_size": 100, "seed": 5}
    assert result == kid(real, fake, subsets=10, seed=5) != kid(real, fake, subsets=10, seed=6)
    assert str(result).startswith("kernel distance: mean ") and "subset_size 100, seed 5)" in str(result)
    assert result.to_dict()["std"] == result.values["std"] > 0


# An independent implementation

def test_distances_equal_torch_fidelity():
    pytest.importorskip("torch_fidelity", reason="compares with torch-fidelity where it is installed")
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric
    real, fake = clouds((400, 350), 32)
    tensors = [torch.from_numpy(cloud) for cloud in (fake, real)]                       # generated first
    theirs = fid_statistics_to_metric(*map(fid_features_to_statistics, tensors), False)
    assert frechet_distance(real, fake) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
    theirs = kid_features_to_metric(*tensors, kid_subsets=20, kid_subset_size=100, rng_seed=7, verbose=False)
    ours = kernel_distances(real, fake, 20, 100, 7)
    assert ours.mean() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert ours.std() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
    theirs = prc_features_to_metric(*tensors, verbose=False)
    assert manifold_shares(real, fake) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-3)
