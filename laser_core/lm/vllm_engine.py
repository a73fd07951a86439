"""Scoring by vLLM, for who has it: the log-odds of `scoring.log_odds` from an engine made for many requests on GPUs.

Every answer is one request: the text up to it, one token to be sampled out of the two answer words, and the log-probabilities of both
after all other words have been ruled out. What requests begin with alike, vLLM keeps by itself. It rounds in its own ways: probabilities
are not those of torch to the last digit, and may depend a little on what is scored beside.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laser_core.errors import MissingError

if TYPE_CHECKING:
    from laser_core.lm.scoring import Encoded

_RANKS = (8, 16, 32, 64, 128, 256, 512)  # of adapters, that vLLM prepares for


class Engine:
    """A language model in vLLM.

    Args:
        folder: Of the backbone.
        answers: Token ids of yes and no.
        dtype: "bfloat16" or "float32".
        adapter: The folder of a saved adapter; None: untuned.
        rank: Of the adapter.

    Raises:
        FaultError: vLLM is not installed.
    """

    def __init__(self, folder: Path, answers: tuple[int, int], dtype: str, adapter: Path | None = None, rank: int = 8) -> None:
        vllm = _module("vllm")
        lora: dict[str, Any] = {}
        self._adapter = None
        if adapter is not None:
            lora = {"enable_lora": True, "max_lora_rank": next((known for known in _RANKS if known >= rank), rank)}
            self._adapter = _module("vllm.lora.request").LoRARequest("adapter", 1, str(adapter))
        self._model = vllm.LLM(
            model=str(folder), dtype=dtype, logprobs_mode="processed_logprobs", enable_prefix_caching=True, trust_remote_code=False, **lora
        )
        self._asked = vllm.SamplingParams(max_tokens=1, temperature=0.0, allowed_token_ids=list(answers), logprobs=2, detokenize=False)
        self._answers = answers

    def log_odds(self, encoded: Sequence[Encoded], done: Callable[[int], None] = lambda texts: None) -> list[np.ndarray]:
        """Log-odds of yes at every answer of every text, as `scoring.log_odds` gives them."""
        requests = [{"prompt_token_ids": text.tokens[: place + 1].tolist()} for text in encoded for place in text.places]
        found = self._model.generate(requests, self._asked, lora_request=self._adapter, use_tqdm=False)
        yes, no = self._answers
        first = [answer.outputs[0].logprobs[0] for answer in found]
        odds = np.array([words[yes].logprob - words[no].logprob for words in first])
        done(len(encoded))
        return np.split(odds, np.cumsum([len(text.places) for text in encoded])[:-1])


def check() -> None:
    """Whether vLLM is installed, without loading it.

    Raises:
        FaultError: It is not.
    """
    if "vllm" not in sys.modules and importlib.util.find_spec("vllm") is None:
        raise _missing()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise _missing() from None


def _missing() -> MissingError:
    return MissingError("engine 'vllm' needs vLLM (pip install vllm, NVIDIA GPUs): install it, or leave option 'engine' at torch")
