"""Benchmarks small-object detectors part by part; the API is `__all__`."""

from typing import TYPE_CHECKING, Any

__version__ = "0.4.0"

if TYPE_CHECKING:
    from harness.api import build, load_results, open_run
    from harness.plugin.hookspecs import hookimpl

__all__ = ["__version__", "build", "hookimpl", "load_results", "open_run"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import harness` costs nothing."""
    if name in ("build", "load_results", "open_run"):
        from harness import api

        return getattr(api, name)
    if name == "hookimpl":
        from harness.plugin.hookspecs import hookimpl

        return hookimpl
    raise AttributeError(f"module 'harness' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
