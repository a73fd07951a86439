"""The process that `Child` starts: calls one function and answers on stdout. It imports nothing that the function does not need."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module


def main(function: str, arguments: str) -> None:
    """Call `module:name` with JSON arguments; whatever libraries print goes to stderr, the answer alone to stdout."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module, _, name = function.partition(":")
    value = getattr(import_module(module), name)(**json.loads(arguments))
    print(json.dumps({"value": value, "cpu_seconds": time.process_time()}), file=channel, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
