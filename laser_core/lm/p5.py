"""P5: recommendation as text to text (S. Geng et al., 2022, "Recommendation as Language Processing (RLP): A Unified Pretrain, Personalized
Prompt & Predict Paradigm (P5)", RecSys '22, arXiv 2203.13366).

An encoder-decoder (T5, C. Raffel et al., 2020) reads the sample as a question; the decoder's first token is its answer:

    p = exp(s_yes) / (exp(s_yes) + exp(s_no))

with s the scores of two words of its vocabulary. The loss is the log loss of p, as for the other language models of this kit. The paper
pretrains on five families of tasks and tells users and items apart by id; here one task is learned, and titles stand for items.

With `pretrained=False` only the backbone's tokenizer is used, under a small T5 that starts at random ("P5 (no pretraining)"): it knows no
language, so it shows what the form of the model does without the pretraining that the paper is about.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import UserError
from laser_core.lm import backbones
from laser_core.lm.text_classifier import TextClassifier, TextModel, TextOptions
from laser_core.lm.texts import Reader, Text, earlier_ratings, item_fields, user_fields
from laser_core.progress import Progress

ANSWERS = ("yes", "no")


@dataclass(frozen=True)
class P5Options(TextOptions):
    """Settings of P5."""

    backbone: str = "t5-base"
    """a T5, which is tuned"""
    max_tokens: int = 160
    """a longer text loses its oldest ratings; the question itself takes a few words more than a text of CTR-BERT or PTab"""
    pretrained: bool = True
    """false: a small T5 that starts at random, and of the backbone only the tokenizer"""
    layers: int = 2
    """not pretrained: of the encoder, and of the decoder"""
    size: int = 128
    """not pretrained: of a token's vector"""
    heads: int = 4
    """not pretrained: of attention"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.layers, self.size, self.heads) < 1 or self.size % self.heads:
            raise UserError("options 'layers', 'size' and 'heads' must be positive, and 'size' a multiple of 'heads'")


class FirstWord(TextModel):
    """The scores of the two answers as the decoder's first token."""

    def __init__(self, body: nn.Module, yes: int, no: int) -> None:
        super().__init__()
        self.body = body
        head = body.get_output_embeddings()

        def exact(states: Tensor) -> Tensor:
            """Two of these scores will be subtracted: rounded to bf16, little but rounding would be left."""
            with torch.autocast(states.device.type, enabled=False):
                return nn.functional.linear(states.float(), head.weight, head.bias)

        head.forward = exact
        self.register_buffer("words", torch.tensor([yes, no]), persistent=False)

    def read(self, ids: Tensor, real: Tensor) -> Tensor:
        """(texts, 2) s_yes and s_no."""
        start = ids.new_full((len(ids), 1), self.body.config.decoder_start_token_id)
        scores = self.body(input_ids=ids, attention_mask=real, decoder_input_ids=start, use_cache=False).logits  # (texts, 1, words)
        return scores[:, 0, self.words]

    def answer(self, vectors: Tensor) -> Tensor:
        """(batch,) log-odds from (batch, 1, 2)."""
        return vectors[:, 0, 0] - vectors[:, 0, 1]


class P5(TextClassifier):
    """A sample is one question about the target item."""

    Options = P5Options
    kind = "encoder-decoder"

    def wants_weights(self) -> bool:
        """Whether the backbone's weights are used, or its tokenizer alone."""
        return self.options.pretrained

    def texts(self, dataset: CTRDataset, row: int) -> tuple[Text, ...]:
        """The one question."""
        event, noun = dataset.sample_event[row], dataset.about.item_noun
        facts = item_fields(dataset, int(dataset.event_item[event]))
        more = ", ".join(f"{name} {value}" for name, value in facts.items() if name != dataset.about.title_field)
        item = facts.get(dataset.about.title_field, f"of unknown {dataset.about.title_field}") + (f" ({more})" if more else "")
        profile = ", ".join(f"{name} {value}" for name, value in user_fields(dataset, int(dataset.event_user[event])).items())
        lead, lines = earlier_ratings(dataset, row, self.options.history)
        asked = f"Will the user like the {noun} {item}? Answer {ANSWERS[0]} or {ANSWERS[1]}. The user:"
        return (Text(f"{asked} {profile}; {lead}" if profile else f"{asked} {lead}", lines),)

    def build(self, reader: Reader, progress: Progress) -> FirstWord:
        """The pretrained encoder-decoder, or a small one that starts at random."""
        options = self.options
        if options.pretrained:
            body = backbones.load_encoder_decoder(options.backbone, torch.float32, torch.device("cpu"), progress)
        else:
            import transformers

            config = transformers.T5Config(
                vocab_size=reader.tokenizer.get_vocab_size(),
                d_model=options.size,
                d_kv=options.size // options.heads,
                d_ff=4 * options.size,
                num_layers=options.layers,
                num_decoder_layers=options.layers,
                num_heads=options.heads,
                decoder_start_token_id=0,
            )
            body = transformers.T5ForConditionalGeneration(config)
        return FirstWord(body, *(reader.word(answer) for answer in ANSWERS))
