# SPDX-License-Identifier: Apache-2.0
"""Fixtures for pytest; ``pytest_plugins = ["lifeseal.testing.fixtures"]`` in a ``conftest.py`` brings them in."""

from collections.abc import Iterator

import pytest

from lifeseal import testing


@pytest.fixture
def loopback_sigstore() -> Iterator[testing.Sigstore]:
    """A Sigstore deployment of its own for each test."""
    with testing.sigstore() as running:
        yield running


@pytest.fixture
def loopback_tsa() -> Iterator[testing.Tsa]:
    """A timestamp authority of its own for each test."""
    with testing.timestamp_authority() as running:
        yield running


@pytest.fixture
def loopback_hub() -> Iterator[testing.Hub]:
    """An empty Hugging Face Hub of its own for each test."""
    with testing.hub() as running:
        yield running
