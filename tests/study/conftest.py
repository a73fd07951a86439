from __future__ import annotations

from unittest.mock import patch

import pytest

from laser_core import systems
from tests.study import fake


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """The registry with the fake system in it, and a log of what it computes."""
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "fake.log"))
    with patch.dict(systems.SYSTEMS):
        fake.register()
        yield systems.SYSTEMS
