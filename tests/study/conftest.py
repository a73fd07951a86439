from __future__ import annotations

import pytest

from laser_core import systems
from tests.study import fake


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """The registry with the fake system in it, and a log of what it computes."""
    monkeypatch.setattr(systems, "SYSTEMS", dict(systems.SYSTEMS))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "fake.log"))
    fake.register()
    return systems.SYSTEMS
