"""Where torch computes. Imported only by what needs torch anyway."""

from __future__ import annotations

import torch

from laser_core.errors import UserError
from laser_core.settings import get_settings


def torch_device() -> torch.device:
    """The device of the settings in force; auto takes a GPU if there is one.

    Raises:
        UserError: The device is not there.
    """
    wanted = get_settings().device
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = torch.cuda.device_count()
    if wanted.startswith("cuda") and int(wanted.partition(":")[2] or 0) >= there:
        raise UserError(f"LASER_DEVICE is '{wanted}', but torch sees {there or 'no'} GPU{'s' * (there > 1)}: use auto or cpu")
    return torch.device(wanted)
