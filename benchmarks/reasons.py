"""Why numpool loses to a peer, or takes more than twice the time of the floor: as it was measured.

Pairs of a regular expression for the group and name of cases ("CNN: max 16x64...") and a reason;
the first that is found holds.
"""

import re

LOSSES: list[tuple[str, str]] = []
FAR_FROM_FLOOR: list[tuple[str, str]] = []


def reason(table: list[tuple[str, str]], name: str) -> str:
    """The reason of a case, if one is known."""
    return next((text for pattern, text in table if re.search(pattern, name)), "not yet known")
