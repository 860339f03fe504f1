"""Says which peers take part."""

from benchmarks.peers import PEERS


def pytest_report_header() -> list[str]:
    """Names and versions, as far as they are installed."""
    found = dict.fromkeys(f"{p.distribution} {p.version}" for p in PEERS if p.version)
    missing = dict.fromkeys(p.distribution for p in PEERS if not p.version)
    return [f"peers: {', '.join(found)}", f"not installed: {', '.join(missing) or 'none'}"]
