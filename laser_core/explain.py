"""Why this answer? What-if histories, leaving one rating out, and a language model kept open to score prompts one by one.

`python -m laser_core.explain` is that language model as a process of its own (see `serve`), so that a page which asks it stays quick.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import LaserError, UserError
from laser_core.lm import backbones
from laser_core.lm.prompts import Prompt

MOST_TOKENS = 4096  # of one prompt that is scored live

History = Sequence[tuple[int, int]]
"""(item code, rating code) of each earlier rating, oldest first"""


def history_of(dataset: CTRDataset, row: int, length: int | None = None) -> list[tuple[int, int]]:
    """The history of a sample as `what_if` takes it."""
    events = dataset.history_events(row, length)
    return list(zip(dataset.event_item[events].tolist(), dataset.event_rating[events].tolist(), strict=True))


def what_if(dataset: CTRDataset, row: int, history: History, target: int = 0) -> CTRDataset:
    """The same data set with one sample, number 0: the user of `row` after another history, asked about the same target.

    Any fitted system predicts on it as on the original, since every code keeps its meaning. Labels of the history follow the
    data set's own rule, learned from its ratings; the sample keeps its label.

    Args:
        target: Another item to ask about (its label is that of `row` and means nothing); 0: the same.

    Raises:
        UserError: An item or rating code that the data set does not have.
    """
    items, ratings = (np.array([entry[place] for entry in history], dtype=np.int64) for place in (0, 1))
    if len(history) and not (items.min() >= 1 and items.max() <= dataset.items):
        raise UserError(f"items of {dataset.name} have codes from 1 to {dataset.items:,}")
    if len(history) and not (ratings.min() >= 1 and ratings.max() < len(dataset.rating_values)):
        raise UserError(f"ratings of {dataset.name} have codes from 1 to {len(dataset.rating_values) - 1}")
    if not 0 <= target <= dataset.items:
        raise UserError(f"items of {dataset.name} have codes from 1 to {dataset.items:,}")
    event = int(dataset.sample_event[row])
    user = int(dataset.event_user[event])
    offsets = np.zeros(dataset.users + 2, dtype=np.int64)
    offsets[user + 1 :] = len(history) + 1
    one = np.zeros(1, dtype=np.int64)
    return dataclasses.replace(
        dataset,
        user_offsets=offsets,
        event_user=np.full(len(history) + 1, user),
        event_item=np.append(items, target or dataset.event_item[event]),
        event_rating=np.append(ratings, dataset.event_rating[event]),
        event_label=np.append(_usual_label(dataset)[ratings], dataset.event_label[event]),
        event_time=np.zeros(0, dtype=np.int64),
        sample_event=np.array([len(history)]),
        train=one,
        valid=one,
        test=one,
    )


def _usual_label(dataset: CTRDataset) -> np.ndarray:
    """(ratings + 1,) the label that each rating code has in the data set; a code that never occurs goes by its neighbours' order."""
    positive = np.bincount(dataset.event_rating, weights=dataset.event_label, minlength=len(dataset.rating_values))
    count = np.bincount(dataset.event_rating, minlength=len(dataset.rating_values))
    known = np.flatnonzero(count)
    share = np.interp(np.arange(len(count)), known, positive[known] / count[known])
    return (share > 0.5).astype(np.uint8)


def leave_one_out(history: History) -> Iterator[list[tuple[int, int]]]:
    """The history without its first rating, without its second, and so on."""
    for place in range(len(history)):
        yield [*history[:place], *history[place + 1 :]]


class LiveModel:
    """A language model, with an adapter if given, opened once and asked prompt by prompt.

    Args:
        backbone: Its name; the weights must be on this machine.
        adapter: The `adapter` folder of a saved system.
        precision: As option `precision` of the systems.

    Raises:
        FaultError: The weights are not here, or torch is not installed.
    """

    def __init__(self, backbone: str, adapter: Path | None = None, precision: str = "auto") -> None:
        from laser_core.device import torch_device
        from laser_core.lm import tuning

        self.tokenizer = backbones.tokenizer(backbone)
        device = torch_device()
        self._model = backbones.load_decoder(backbone, backbones.precision(precision, device), device, wanted=precision)
        if adapter is not None:
            tuning.load_adapter(self._model, adapter)
        self._answering: dict[tuple[int, int], object] = {}

    def probability(self, prompt: Prompt) -> float:
        """The probability of the first answer word at the end of a prompt.

        Raises:
            UserError: The prompt is beyond `MOST_TOKENS`, or an answer word is not one token.
        """
        return float(self.probabilities([prompt])[0])

    def probabilities(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """(prompts,) the same of several prompts at once, with equal answer words; what they begin with alike, such as one user's history
        before many candidates, is read once (`scoring.shared_log_odds`).

        Raises:
            UserError: A prompt is beyond `MOST_TOKENS`, or an answer word is not one token.
        """
        from laser_core.lm import scoring

        encoded = scoring.encode(self.tokenizer, prompts)
        longest = max(len(text.tokens) for text in encoded)
        if longest > MOST_TOKENS:
            raise UserError(f"the prompt has {longest:,} tokens, at most {MOST_TOKENS:,} are scored live: shorten it")
        answers = scoring.answer_ids(self.tokenizer, prompts[0])
        if answers not in self._answering:
            self._answering[answers] = scoring.AnswerModel(self._model, *answers)
        ends = [scoring.Encoded(text.tokens, text.places[-1:], text.events[-1:]) for text in encoded]
        odds = np.concatenate(scoring.shared_log_odds(self._answering[answers], ends))
        return 1 / (1 + np.exp(-odds))


def as_prompt(text: str, answers: tuple[str, str]) -> Prompt:
    """Free text as a prompt whose answer follows its end."""
    space = "" if text[-1:].isspace() or not text else " "
    return Prompt(text, np.array([len(text)]), np.array([0]), (space + answers[0].strip(), space + answers[1].strip()), 0)


def serve(requests: Iterable[str], answers: TextIO) -> None:
    """Answer requests, one JSON object a line, with one JSON object a line; one model is open at a time.

    Request: `{"backbone": ..., "adapter": folder or null, "text": ..., "answers": [yes, no]}` with the answers as they follow the text.
    Answer: `{"probability": ...}`, or `{"error": ...}`. A line `{"opening": true}` goes ahead where a model is opened first.
    With "texts", a list, in the place of "text" the answer is `{"probabilities": [...]}`: quicker for texts that begin alike.
    """

    def say(**words: object) -> None:
        print(json.dumps(words), file=answers, flush=True)

    is_open, model = None, None
    for line in requests:
        try:
            request = json.loads(line)
            wanted = (request["backbone"], request["adapter"])
            if is_open != wanted:
                say(opening=True)
                is_open, model = None, None  # forget the old model before the new one takes its memory
                model = LiveModel(request["backbone"], Path(request["adapter"]) if request["adapter"] else None)
                is_open = wanted
            words = tuple(request["answers"])
            texts = request["texts"] if "texts" in request else [request["text"]]
            found = model.probabilities([Prompt(text, np.array([len(text)]), np.array([0]), words, 0) for text in texts]).tolist()
            say(**({"probabilities": found} if "texts" in request else {"probability": found[0]}))
        except LaserError as error:
            say(error=str(error))
        except Exception as error:  # whatever one request does, the next must be served
            say(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    serve(sys.stdin, own)
