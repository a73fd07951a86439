"""Tiny encoders and encoder-decoders with random weights. No network, no weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tokenizers
import torch
import transformers

from laser_core.datasets.dataset import CTRDataset

WORDS = "user title author book country age Ana Alpha Bo Beta Tome of Ümläut 100 % { } chile rated earlier newest first in points nothing"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_wordpiece() -> tokenizers.Tokenizer:
    """A tokenizer as BERT's; it comes with truncation and padding of its own, as MiniLM's does, that nobody must fall for."""
    # A vocabulary as it is, not a learned one: learning breaks ties in another order each time, and with it every tiny model changes.
    words = f"{WORDS} the like will answer yes or no did".lower().replace("ü", "u").replace("ä", "a").split()
    letters = sorted({*"0123456789?:;.,()%{}abcdefghijklmnopqrstuvwxyz", *"".join(words)})
    entries = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *(word for word in dict.fromkeys(words) if len(word) > 1)]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({entry: number for number, entry in enumerate(entries)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16, pad_id=0, pad_token="[PAD]")
    return tokenizer


def make_sentencepiece() -> tokenizers.Tokenizer:
    """A tokenizer as T5's: ▁ before words, </s> after texts."""
    words = [(f"▁{word}", -3.0) for word in dict.fromkeys(f"{WORDS} yes no Will the user like the book? Answer or".split())]
    letters = [(letter, -9.0) for letter in sorted({*"▁:;.,()?0123456789", *WORDS.replace(" ", ""), *"abcdefghijklmnopqrstuvwxyzWA"})]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *words, *letters], unk_id=2, byte_fallback=False)
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def make_bert(folder: Path, masked_head: bool = False, context: int = 256) -> str:
    """Write a tiny BERT; its folder is the backbone's name.

    Args:
        masked_head: With the output layer of its pretraining, or without it, as MiniLM comes.
    """
    torch.manual_seed(3)
    tokenizer = make_wordpiece()
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=context, pad_token_id=0,
    )  # fmt: skip
    model = transformers.BertForMaskedLM(config) if masked_head else transformers.BertModel(config)
    for weight in model.parameters():  # larger than usual, so that texts differ in their answers
        weight.data.mul_(3) if weight.ndim > 1 else None
    return _write(model, tokenizer, folder)


def make_t5(folder: Path) -> str:
    """Write a tiny T5; its folder is the backbone's name."""
    torch.manual_seed(3)
    tokenizer = make_sentencepiece()
    config = transformers.T5Config(
        vocab_size=tokenizer.get_vocab_size(), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    return _write(transformers.T5ForConditionalGeneration(config), tokenizer, folder)


def _write(model: transformers.PreTrainedModel, tokenizer: tokenizers.Tokenizer, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder)


def turned(dataset: CTRDataset, row: int) -> CTRDataset:
    """The same world, but the sample's own rating and all later ones of its user are turned over: label and stars."""
    first = int(dataset.sample_event[row])
    last = int(dataset.user_offsets[dataset.event_user[first] + 1])
    label, rating = dataset.event_label.copy(), dataset.event_rating.copy()
    label[first:last] = 1 - label[first:last]
    most = len(dataset.rating_values) - 1
    rating[first:last] = most + 1 - rating[first:last]
    return dataclasses.replace(dataset, event_label=label, event_rating=rating)
