"""The Python package as an application finds it, and the TypeScript package with what its lock names."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from scripts.owner.publishers import packages
from scripts.owner.publishers.main import FOLDER
from tests.conftest import unavailable


@pytest.fixture
def cgk_publisher(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with `.events` imported."""
    monkeypatch.syspath_prepend(str(FOLDER / "python"))
    importlib.import_module("cgk_publisher.events")
    return sys.modules["cgk_publisher"]


@pytest.fixture(scope="session")
def node_packages() -> None:
    """node_modules of the TypeScript package; made once per machine."""
    try:
        packages.ensure()
    except packages.PackagesError as error:
        unavailable(error)
