"""Tiny language models with random weights, and a made-up world whose taste a tiny model can learn. No network, no weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import tokenizers
import torch
import transformers

from laser_core.datasets.build import assemble
from laser_core.datasets.dataset import About, CTRDataset
from laser_core.lm import backbones

CHAT = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|model|>{% endif %}"
SIZES = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
FAMILIES = {
    "llama": lambda: transformers.LlamaConfig(**SIZES),
    "mistral": lambda: transformers.MistralConfig(**SIZES, sliding_window=16),
    "qwen": lambda: transformers.Qwen2Config(**SIZES),
    "gemma": lambda: transformers.Gemma2Config(**SIZES, final_logit_softcapping=0.5, query_pre_attn_scalar=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(**SIZES, sliding_window=16, query_pre_attn_scalar=8),
    "phi3": lambda: transformers.Phi3Config(**{name: size for name, size in SIZES.items() if name != "head_dim"}, tie_word_embeddings=True),
    "granite": lambda: transformers.GraniteConfig(
        **{name: size for name, size in SIZES.items() if name != "head_dim"}, logits_scaling=8.0, embedding_multiplier=12.0
    ),
    "cohere": lambda: transformers.CohereConfig(**{name: size for name, size in SIZES.items() if name != "head_dim"}, logit_scale=0.0625),
    "qwen3": lambda: transformers.Qwen3Config(**SIZES),
}

ABOUT = About(
    name="shelf",
    title="Shelf",
    item_noun="book",
    user_field="user",
    item_field="book",
    title_field="title",
    group_field="author",
    profile_fields=("country", "age"),
    input_fields=("user", "book"),
    history_length=4,
    label_rule="rating >= 6",
    licence="none",
    citation="none",
    redistributable=True,
)


def within(bf16: float, fp32: float) -> float:
    """A tolerance by what `precision="auto"` is on this machine."""
    return bf16 if backbones.precision("auto", torch.device("cpu")) == torch.bfloat16 else fp32


def make_shelf(users: int = 24, books: int = 12, events: int = 9, one_taste: bool = False) -> CTRDataset:
    """Every user likes the books of one of two authors; with `one_taste`, everybody of the same one.

    Titles hold braces, percent signs and letters beyond ASCII.
    """
    generator = np.random.default_rng(0)
    author = np.arange(books) % 2
    user = np.repeat(np.arange(users), events)
    item = np.concatenate([generator.permutation(books)[:events] for _ in range(users)])
    liked = author[item] == (0 if one_taste else user % 2)
    ratings = pd.DataFrame({"user": user, "item": item, "rating": np.where(liked, 9, 0), "label": liked, "time": np.arange(len(user))})
    people = pd.DataFrame({"country": np.where(np.arange(users) % 3, "chile", ""), "age": "30-39"}, index=range(users))
    titles = [f"Tome {{{number}}} of 100 % Ümläut" for number in range(books)]
    items = pd.DataFrame({"title": titles, "author": np.where(author, "Ana Alpha", "Bo Beta")})
    split = np.repeat(["train", "valid", "test"], [users - 12, 6, 6])[user]
    return assemble(ABOUT, ratings, people, items, list(range(11)), np.ones(len(user), bool), split).stamped()


def make_tokenizer(words: list[str], space: str = "byte") -> transformers.PreTrainedTokenizerFast:
    """A byte-level tokenizer as GPT-2 and its heirs have it, or one that puts ▁ before words and a <s> before texts as Llama's does."""
    corpus = words * 30
    if space == "byte":
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = tokenizers.decoders.ByteLevel()
        alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(byte_fallback=True, unk_token="<unk>"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first")
        tokenizer.decoder = tokenizers.decoders.Metaspace()
        alphabet = sorted({letter for word in corpus for letter in word})
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=SIZES["vocab_size"], special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    if space != "byte":
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def make_model(folder: Path, family: str = "llama", space: str = "byte", chat: str | None = None, context: int = 4096) -> str:
    """Write a tiny model with random weights in the transformers format; its folder is the backbone's name."""
    torch.manual_seed(7)
    config = FAMILIES[family]()
    config.max_position_embeddings = context
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 1, 2, 2
    model = transformers.AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():  # larger than usual, so that prompts differ in their answers
        weight.data.mul_(4) if weight.ndim > 1 else None
    model.save_pretrained(folder)
    tokenizer = make_tokenizer(["Does the user like the book? Tome of Ümläut: Yes, No. Answer yes or no.\nA Yes\nB No\n"], space)
    tokenizer.chat_template = chat
    tokenizer.save_pretrained(folder)
    return str(folder)
