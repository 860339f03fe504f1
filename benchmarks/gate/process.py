"""A worker as seen from outside: started for a commit, asked, and ended."""

import json
import os
import queue
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

# Kernels of a case compile within seconds; a worker that is silent for so long is stuck.
_PATIENCE = 300.0


class Side(NamedTuple):
    """A commit that can be measured: its interpreter, and where it finds modules and kernels."""

    label: str
    commit: str
    python: str
    path: list[Path]
    kernels: Path
    package: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, self.path)),
            "PYTHONHASHSEED": "0",
            "NUMBA_CACHE_DIR": str(self.kernels),
        }


class WorkerFailed(Exception):
    """A worker cannot do what it was asked."""


class Worker:
    """A process that measures one side."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name, "errors")
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [side.python, "-m", "benchmarks.gate.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self._folder.name,
                env=side.environment,
                text=True,
            )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def send(self, command: str, **arguments: Any) -> None:
        """Ask for something, without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerFailed(self._last_words()) from None

    def receive(self) -> Any:
        """The answer to what was asked."""
        try:
            line = self._answers.get(timeout=_PATIENCE)
        except queue.Empty:
            raise WorkerFailed(f"no answer within {_PATIENCE:.0f} s") from None
        if not line:
            raise WorkerFailed(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer["value"]

    def ask(self, command: str, **arguments: Any) -> Any:
        """Ask, and wait for the answer."""
        self.send(command, **arguments)
        return self.receive()

    def _last_words(self) -> str:
        code = self._process.wait()
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return f"the process ended with {code}" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._folder.cleanup()
