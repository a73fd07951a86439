"""Two tiny language models with random weights, and a home of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from tests.lm.tiny_models import SIZES, make_model, make_shelf, make_tokenizer

SHELF = make_shelf()
TEXTS = [f"Tome {number} of Ümläut" + ", and more of it" * (number % 5) for number in range(40)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home."""
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A causal language model; its folder is its name."""
    return make_model(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder that reads in both directions, as MiniLM does."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=SIZES["vocab_size"], hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4
    )
    transformers.BertModel(config).save_pretrained(folder)
    make_tokenizer(["Tome of Ümläut, and more of it. Author: Ana Alpha. Liked: none"]).save_pretrained(folder)
    return str(folder)
