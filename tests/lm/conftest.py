"""What the tests of language models share."""

from __future__ import annotations

import pytest

from laser_core.datasets.dataset import CTRDataset
from tests.lm.tiny_models import make_model, make_shelf


@pytest.fixture(scope="session")
def shelf() -> CTRDataset:
    """A made-up world: two authors, every user likes one of them."""
    return make_shelf()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Llama with random weights."""
    return make_model(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def real() -> str:
    """The real small model, for tests marked `weights`."""
    from laser_core.lm import backbones

    if backbones.ready("smollm2-135m") is None:
        pytest.skip("no weights on this machine: `laser doctor --fetch` gets them")
    return "smollm2-135m"
