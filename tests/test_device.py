"""The device that the settings name: found, or refused in one line."""

from __future__ import annotations

import pytest
import torch

from laser_core.device import torch_device
from laser_core.errors import UserError


@pytest.mark.parametrize("wanted", ["mps", "cpu:foo", "cuda:x", "cuda:", "gpu", ""])
def test_a_device_that_does_not_exist(wanted, monkeypatch):
    monkeypatch.setenv("LASER_DEVICE", wanted)
    with pytest.raises(UserError, match=f"LASER_DEVICE is '{wanted}': use auto, cpu, cuda or cuda:N$"):
        torch_device()


@pytest.mark.parametrize(("gpus", "wanted", "sees"), [(0, "cuda", "no GPU"), (1, "cuda:9", "1 GPU"), (2, "cuda:2", "2 GPUs")])
def test_a_device_that_is_not_here(gpus, wanted, sees, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LASER_DEVICE", wanted)
    with pytest.raises(UserError, match=f"LASER_DEVICE is '{wanted}', but torch sees {sees}: use auto or cpu$"):
        torch_device()


def test_a_device_that_is_here(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for wanted in ("cpu", "cuda", "cuda:1"):
        monkeypatch.setenv("LASER_DEVICE", wanted)
        assert torch_device() == torch.device(wanted)
