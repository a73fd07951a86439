"""Options in words, read from the source, against the classes themselves."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from laser_core import systems
from laser_core.errors import UserError
from laser_core.options import options_of
from laser_core.systems import SYSTEMS


@pytest.mark.parametrize("name", SYSTEMS)
def test_options_are_those_of_the_class_and_have_words(name):
    if systems.missing_packages(systems.get(name)):
        pytest.skip("a package of this system is not installed")
    made = systems.create(name).options
    usual = {field.name: repr(getattr(made, field.name)) for field in dataclasses.fields(made)}
    told = options_of(name)
    assert {option.name: option.usual for option in told.values()} == usual
    assert [option.name for option in told.values() if not option.words] == []


def test_nothing_heavy_is_imported():
    code = "import sys; from laser_core.options import options_of; options_of('laser-crm'); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_systems_from_elsewhere_have_no_words(monkeypatch):
    monkeypatch.setitem(SYSTEMS, "fake", systems.System("fake", "Fake", "crm", "tests.study.fake:Fake"))
    options_of.cache_clear()
    assert options_of("fake") == {}
    with pytest.raises(UserError, match="no-such"):
        options_of("no-such")
