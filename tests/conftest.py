"""What tests ask for of numpool's plans."""

import pytest


@pytest.fixture
def walks(monkeypatch):
    """The names of the walks that are planned."""
    # Here, since the formulas are also tested without numba's compiler, which the kernels need.
    from numpool import _calls, _plans

    names = []
    plan = _plans.Builder.plan

    def noted(self, kernel, *rest):
        names.append(kernel[0])
        return plan(self, kernel, *rest)

    monkeypatch.setattr(_plans.Builder, "plan", noted)
    _calls._calls.clear()
    return names
