"""What tests ask for of numpool's plans."""

import pytest

from numpool import _calls, _plans


@pytest.fixture
def walks(monkeypatch):
    """The names of the walks that are planned."""
    names = []
    plan = _plans.Builder.plan

    def noted(self, kernel, *rest):
        names.append(kernel[0])
        return plan(self, kernel, *rest)

    monkeypatch.setattr(_plans.Builder, "plan", noted)
    _calls._calls.clear()
    return names
