"""What airspeed velocity runs: the tracked cases, under names that say what is measured.

`asv run` takes this folder for a package of its own, named `suite`, and knows nothing of what lies
around it; the folder above must not be on the path, since the package there is not the one that is
measured. So `benchmarks` is loaded from its files.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

if "benchmarks" not in sys.modules:
    _folder = Path(__file__).parent.parent
    _spec = spec_from_file_location(
        "benchmarks", _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    assert _spec is not None and _spec.loader is not None
    sys.modules["benchmarks"] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["benchmarks"])
