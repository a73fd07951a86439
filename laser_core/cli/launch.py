"""Starting the dashboard: streamlit as a process of its own, on this machine only."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable

from laser_core.errors import FaultError, UserError
from laser_core.settings import PROJECT

_HOST = "localhost"
_PORTS = range(8501, 8521)
_PATIENCE = 60.0  # seconds until it answers; on a busy machine it takes its time


def open_dashboard(port: int | None, browser: bool, say: Callable[[str], None]) -> int:
    """Run the dashboard until it ends or Ctrl-C comes; returns its exit code.

    Args:
        port: None takes the first free one from 8501 on.
        browser: Open a window on it as soon as it answers, where this machine has a screen.

    Raises:
        UserError: The port is taken.
        FaultError: The dashboard or streamlit is not here, or no port is free.
    """
    script = PROJECT / "app" / "serve.py"
    if not script.exists():
        raise FaultError("the dashboard is not part of the installed package: run this in a clone of the project")
    if importlib.util.find_spec("streamlit") is None:
        raise FaultError('the dashboard needs streamlit: pip install -e ".[all]" -c constraints.txt')
    port = _free_port(port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` ends it like Ctrl-C: nothing is left behind
    process = subprocess.Popen([sys.executable, str(script), str(port)])
    try:
        if _answers(process, port):
            say(f"the dashboard is open: http://{_HOST}:{port} (Ctrl-C ends it)")
            if browser and _has_screen():
                webbrowser.open(f"http://{_HOST}:{port}")
        return process.wait()
    except KeyboardInterrupt:  # the usual way to end it
        return 0
    finally:
        _end(process)


def _free_port(port: int | None) -> int:
    if port is not None:
        if _is_taken(port):
            raise UserError(f"port {port} is taken: is a dashboard open already? --port gives another one")
        return port
    for port in _PORTS:
        if not _is_taken(port):
            return port
    raise FaultError(f"the ports {_PORTS.start} to {_PORTS.stop - 1} are all taken: --port gives another one")


def _is_taken(port: int) -> bool:
    """Does anything on this machine listen there?"""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0


def _answers(process: subprocess.Popen, port: int) -> bool:
    """Wait until the dashboard listens; False if it ended before."""
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        if _is_taken(port):
            return True
        time.sleep(0.1)
    return False


def _end(process: subprocess.Popen) -> None:
    """End the dashboard; by force if it does not answer."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def _has_screen() -> bool:
    """Is there somewhere for a window to open? Without, a browser of the terminal would take it over."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
