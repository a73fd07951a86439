"""CTR-BERT: two text towers (A. Muhamed et al., 2021, "CTR-BERT: Cost-effective knowledge distillation for billion-parameter teacher
models", NeurIPS workshop on Efficient Natural Language and Speech Processing).

    u = BERT(user text)[CLS],  i = BERT(item text)[CLS],  logit = w . tanh(W [u; i] + b) + c,  W: 2 d -> 128

One BERT reads both texts. User and item meet only in the head, so an item's vector is computed once however many users are asked about.
The paper's distillation from a larger teacher is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from laser_core.datasets.dataset import CTRDataset
from laser_core.lm import backbones
from laser_core.lm.text_classifier import TextClassifier, TextModel
from laser_core.lm.texts import Reader, Text, earlier_ratings, item_fields, user_fields
from laser_core.progress import Progress

WIDTH = 128  # of the head


class TwoTowers(TextModel):
    """Two texts read by one encoder; a head of one hidden layer."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Sequential(nn.Linear(2 * body.config.hidden_size, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 1))

    def read(self, ids: Tensor, real: Tensor) -> Tensor:
        """(texts, size) what the encoder makes of [CLS]."""
        return self.body(input_ids=ids, attention_mask=real).last_hidden_state[:, 0]

    def answer(self, vectors: Tensor) -> Tensor:
        """(batch,) log-odds from (batch, 2, size)."""
        return self.head(vectors.flatten(1)).squeeze(1)


class CTRBERT(TextClassifier):
    """User text = profile and history, item text = title and all that is known of the item."""

    def texts(self, dataset: CTRDataset, row: int) -> tuple[Text, ...]:
        """The user's text and the target item's."""
        event = dataset.sample_event[row]
        profile = ", ".join(f"{name} {value}" for name, value in user_fields(dataset, int(dataset.event_user[event])).items())
        lead, lines = earlier_ratings(dataset, row, self.options.history)
        facts = ", ".join(f"{name} {value}" for name, value in item_fields(dataset, int(dataset.event_item[event])).items())
        return Text(f"user: {profile}; {lead}" if profile else f"user: {lead}", lines), Text(f"{dataset.about.item_noun}: {facts}")

    def build(self, reader: Reader, progress: Progress) -> TwoTowers:
        """The encoder under a fresh head."""
        body = backbones.load_body(self.options.backbone, torch.float32, torch.device("cpu"), progress)
        body.pooler = None  # never read
        return TwoTowers(body)
