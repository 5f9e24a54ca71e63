"""Fixtures for waits on a triggerer's event loop."""

from tests.support.wait_fixtures import arize, clocks, connect

__all__ = ["arize", "clocks", "connect"]
