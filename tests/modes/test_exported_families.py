"""Exported graphs of all families, apart from the others so that both run at the same time."""

import pytest
from test_exported import run_graphs

pytestmark = [pytest.mark.slow, pytest.mark.newest]


def test_exported_graphs_of_each_family_find_what_eager_finds() -> None:
    run_graphs("newest")
