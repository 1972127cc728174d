"""What the predictors' tests share: small random weights, and scikit-image's portrait (NASA, public domain)."""
import pytest
import tiny_weights


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_weights.write_all(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def portrait():
    import skimage.data
    return skimage.data.astronaut()
