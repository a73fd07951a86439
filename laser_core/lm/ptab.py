"""PTab: a row of a table as text (G. Liu, J. Yang and L. Wu, 2022, "PTab: Using the Pre-trained Language Model for Modeling Tabular Data",
arXiv 2209.08060).

1. Every field becomes the phrase "field: value", a sample is the phrases of its fields one after another.
2. Masked-language adaptation: of 15 % of the tokens, 80 % become [MASK], 10 % another token, 10 % stay (J. Devlin et al., 2019); the model
   learns to tell what they were. It reads the texts of the training shots, and no label.
3. Classification: logit = w . BERT(text)[CLS] + b, everything learned together.

Weights without a masked-language output layer (MiniLM's) get a new one for step 2: its matrix is that of the word vectors, the rest
starts at random. `cost_["new_masked_head"]` is 1 then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.lm import backbones
from laser_core.lm.halving import halving
from laser_core.lm.text_classifier import Sample, TextClassifier, TextModel, TextOptions, computing, descend, padded
from laser_core.lm.texts import Reader, Text, earlier_ratings, item_fields, user_fields
from laser_core.progress import Progress
from laser_core.recommender import check_options


@dataclass(frozen=True)
class PTabOptions(TextOptions):
    """Settings of PTab."""

    adapt_epochs: int = 1
    """passes of masked-language adaptation over the shots' texts; 0: none"""
    adapt_learning_rate: float = 5e-5
    """of that"""
    mask_share: float = 0.15
    """of the tokens, to be told"""
    dropout: float = 0.1
    """of the vector that is classified"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, ("adapt_learning_rate", "mask_share"), not_negative=("adapt_epochs",), shares=("mask_share", "dropout"))


class Tabular(TextModel):
    """One text read by an encoder, classified by one linear layer."""

    def __init__(self, body: nn.Module, dropout: float) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(body.config.hidden_size, 1))

    def read(self, ids: Tensor, real: Tensor) -> Tensor:
        """(texts, size) what the encoder makes of [CLS]."""
        return self.body(input_ids=ids, attention_mask=real).last_hidden_state[:, 0]

    def answer(self, vectors: Tensor) -> Tensor:
        """(batch,) log-odds from (batch, 1, size)."""
        return self.head(vectors[:, 0]).squeeze(1)


class PTab(TextClassifier):
    """A sample is one text: the target's fields, the user's, the history."""

    Options = PTabOptions

    def texts(self, dataset: CTRDataset, row: int) -> tuple[Text, ...]:
        """The one text."""
        event = dataset.sample_event[row]
        fields = item_fields(dataset, int(dataset.event_item[event])) | user_fields(dataset, int(dataset.event_user[event]))
        lead, lines = earlier_ratings(dataset, row, self.options.history)
        return (Text(" ".join([*(f"{name}: {value}." for name, value in fields.items()), lead]), lines),)

    def build(self, reader: Reader, progress: Progress) -> Tabular:
        """The encoder under a fresh head; its masked-language output layer waits in `masked_head_` for `adapt`."""
        model, self.new_masked_head_ = backbones.load_masked(self.options.backbone, torch.float32, torch.device("cpu"), progress)
        self.masked_head_ = getattr(model, "cls", None) or getattr(model, "lm_head", None)
        if self.masked_head_ is None:
            raise UserError(f"backbone '{self.options.backbone}' has no masked-language layer as BERT's or RoBERTa's families have")
        return Tabular(model.base_model, self.options.dropout)

    def adapt(self, samples: Sequence[Sample], reader: Reader, seed: int, progress: Progress) -> dict[str, float]:
        """Masked-language adaptation; the first and the last loss, averaged over a quarter of the steps each."""
        options, head, body = self.options, self.masked_head_, self.model_.body
        if options.adapt_epochs == 0:
            return {}
        device = next(body.parameters()).device
        generator = np.random.default_rng([seed, 1])
        vocabulary = reader.tokenizer.get_vocab_size()
        mask = next((code for word in ("[MASK]", "<mask>") if (code := reader.tokenizer.token_to_id(word)) is not None), None)
        if mask is None:
            raise UserError(f"the tokenizer of backbone '{options.backbone}' has no [MASK]: take another, or adapt_epochs=0")
        marks = np.array([*reader.before, *reader.after])
        weights = {id(weight): weight for weight in [*body.parameters(), *head.to(device).parameters()] if weight.requires_grad}
        losses: list[float] = []
        batch = min(options.batch_size, len(samples))
        tokens, size = 0, batch

        def loss(numbers: np.ndarray) -> float:
            nonlocal tokens, size
            texts = [samples[number][0] for number in numbers]
            drawn = [masked(ids, marks, mask, vocabulary, options.mask_share, generator) for ids in texts]
            total, size = halving(lambda most: gradients(texts, drawn, most), size, batch)
            tokens += sum(map(len, texts))
            return total

        def gradients(texts: list[np.ndarray], drawn: list[tuple[np.ndarray, np.ndarray]], most: int) -> float:
            for weight in weights.values():
                weight.grad = None  # of a pass before memory gave out
            total, every = 0.0, sum(int(chosen.sum()) for chosen, _ in drawn)
            for begin in range(0, len(texts), most):
                own = slice(begin, begin + most)
                width = max(map(len, texts[own]))
                chosen, changed = zip(*drawn[own], strict=True)
                ids, real = padded(changed, width, device)
                asked, _ = padded(chosen, width, device)  # (texts, length) 1 where a token is to be told
                truth, _ = padded(texts[own], width, device)
                with computing(device, self.dtype_):
                    states = body(input_ids=ids, attention_mask=real).last_hidden_state  # (texts, length, size)
                    scores = head(states[asked.bool()])  # (asked, words)
                told = truth[asked.bool()]
                part = nn.functional.cross_entropy(scores.float(), told) * (len(told) / every)
                part.backward()
                total += part.item()
            return total

        def after(step: int, value: float) -> bool:
            losses.append(value)
            progress(f"masked-language adaptation, loss {value:.3f}", step, steps)
            return False

        steps = options.adapt_epochs * -(-len(samples) // batch)
        self.model_.train(), head.train()
        groups = [{"params": list(weights.values()), "lr": options.adapt_learning_rate}]
        descend(groups, len(samples), batch, steps, loss, generator, options.weight_decay, after)
        self.masked_head_ = None  # it has done its part
        quarter = -(-steps // 4)
        return {
            "new_masked_head": float(self.new_masked_head_),
            "adapt_first_loss": float(np.mean(losses[:quarter])),
            "adapt_last_loss": float(np.mean(losses[-quarter:])),
            "adapt_tokens": tokens,
        }


def masked(
    ids: np.ndarray, marks: np.ndarray, mask: int, vocabulary: int, share: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(length,) 1 at the tokens to be told, at least one and never the text's own `marks`; and (length,) the text as the model reads it."""
    free = np.flatnonzero(~np.isin(ids, marks))
    own = generator.permutation(free)[: max(1, round(share * len(free)))]
    chosen, changed = np.zeros(len(ids), dtype=np.int64), ids.copy()
    chosen[own] = 1
    fate = generator.random(len(own))
    changed[own[fate < 0.8]] = mask
    other = own[(fate >= 0.8) & (fate < 0.9)]
    changed[other] = generator.integers(vocabulary, size=len(other))
    return chosen, changed
