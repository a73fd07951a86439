"""Folders, profile, device and network use: read from the environment in this one place."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from laser_core.errors import UserError, unknown

PROFILES = ("smoke", "demo", "full")
PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """Where things are and how much to do. Every field has an environment variable of the same name, `LASER_...`."""

    home: Path
    """Downloads, parsed data sets and model weights (LASER_HOME)."""
    store: Path
    """Results of your own runs (LASER_STORE)."""
    recorded: Path
    """Recorded results that come with the kit, read only (LASER_RECORDED)."""
    profile: str
    """smoke: seconds, for tests; demo: minutes on 2 cores; full: the whole study (LASER_PROFILE)."""
    device: str
    """auto, cpu, cuda or cuda:N (LASER_DEVICE)."""
    offline: bool
    """True: never use the network (LASER_OFFLINE=1)."""
    data: Path | None
    """A folder that may hold the raw data sets (LASER_DATA)."""


def get_settings() -> Settings:
    """The settings in force now.

    Raises:
        UserError: LASER_PROFILE or LASER_DEVICE has a value that does not exist.
    """
    env = os.environ
    home = Path(env.get("LASER_HOME") or Path.home() / ".cache" / "laser")
    base = PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()
    profile = env.get("LASER_PROFILE", "demo")
    if profile not in PROFILES:
        raise unknown("profile (LASER_PROFILE)", profile, PROFILES)
    device = env.get("LASER_DEVICE", "auto")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UserError(f"LASER_DEVICE is '{device}': use auto, cpu, cuda or cuda:N")
    return Settings(
        home=home.expanduser(),
        store=Path(env.get("LASER_STORE") or base / "runs").expanduser(),
        recorded=Path(env.get("LASER_RECORDED") or base / "results").expanduser(),
        profile=profile,
        device=device,
        offline=env.get("LASER_OFFLINE", "0") not in ("", "0", "false", "no"),
        data=Path(env["LASER_DATA"]).expanduser() if env.get("LASER_DATA") else None,
    )
