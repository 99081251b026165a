"""Finds plugins (entry points of the group `harness`, and `-p`) and asks each what it offers."""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pluggy

from harness import __version__
from harness.errors import UserError, near_names
from harness.plugin import hookspecs
from harness.plugin.declarations import Declaration, Meter, Params
from harness.plugin.metrics import TARGET, MetricSpec
from harness.plugin.registry import FailedPlugin, Provider, Registry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # what a manifest can write after `use:`
# the layouts of data, the architectures, the modes and the page, by the door of everything else
BUILT_IN = (
    "harness.data.shipped",
    "harness.model.shipped",
    "harness.modes.shipped",
    "harness.report.shipped",
)
OWN = Provider("harness", __version__, "harness")


_loaded: list[Registry] = []


def loaded_plugins() -> Registry:
    """What the last `load_plugins` of this process found; without one, the installed plugins."""
    return _loaded[-1] if _loaded else load_plugins()


def load_plugins(extra: Sequence[str] = ()) -> Registry:
    """Load every installed plugin and those named in `extra` (a module or a file.py each).

    A plugin that raises, or offers something that is not a declaration, is listed in
    `Registry.failed` and the others go on.

    Raises:
        UserError: `extra` names nothing that can be found, a hook is misspelt, or two plugins
            offer the same thing.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    for name in BUILT_IN:  # a mistake in our own is nobody's plugin that failed
        manager.register(module := importlib.import_module(name))
        for declaration in _declarations(manager, module):
            registry.add(declaration, OWN)
    for point in entry_points(group=hookspecs.PROJECT):
        _admit(manager, registry, point.name, lambda point=point: _from_entry_point(point))
    for name in extra:
        _admit(manager, registry, name, lambda name=name: _from_option(name))
    _loaded[:] = [registry]
    return registry


def _admit(manager: pluggy.PluginManager, registry: Registry, name: str, load: Any) -> None:
    module = None
    try:
        module, provider = load()
        if manager.is_registered(module):  # installed and named by -p, or named twice
            return
        manager.register(module)
        declarations = list(_declarations(manager, module))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's module does
        if manager.is_registered(module):
            manager.unregister(module)
        line = " ".join(str(error).split())[:300]
        registry.failed.append(FailedPlugin(name, f"{type(error).__name__}: {line}"))
        return
    _refuse_misspelt_hooks(manager, module, provider)
    registry.providers.append(provider)
    for declaration in declarations:
        registry.add(declaration, provider)


def _from_entry_point(point: EntryPoint) -> tuple[ModuleType, Provider]:
    distribution = point.dist.name if point.dist else point.module
    version = point.dist.version if point.dist else "unknown"
    return point.load(), Provider(point.name, version, distribution)


def _from_option(name: str) -> tuple[ModuleType, Provider]:
    if name.endswith(".py"):
        return _from_file(Path(name))
    try:
        module = importlib.import_module(name)
    except (ModuleNotFoundError, TypeError, ValueError) as error:  # the latter two: "", ".x"
        missing = getattr(error, "name", None) or name
        if not f"{name}.".startswith(f"{missing}."):
            raise
        raise UserError(f"-p {name}: no such module", hint="a module name or a file.py") from error
    source = Path(module.__file__).read_bytes() if module.__file__ else b""
    return module, Provider(name, hashlib.sha256(source).hexdigest()[:12], "module")


def _from_file(path: Path) -> tuple[ModuleType, Provider]:
    if not path.is_file():
        raise UserError(f"-p {path}: no such file", hint="a module name or a file.py")
    provider = Provider(path.stem, hashlib.sha256(path.read_bytes()).hexdigest()[:12], str(path))
    spec = importlib.util.find_spec(path.stem)
    if spec is not None and Path(spec.origin or "").resolve() != path.resolve():
        raise UserError(f"-p {path}: a module '{path.stem}' exists already", hint="rename the file")
    if path.stem in sys.modules:
        return sys.modules[path.stem], provider
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that "stem:attribute" targets find it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module, provider


def _declarations(manager: pluggy.PluginManager, module: ModuleType) -> Iterator[Declaration]:
    for caller in manager.get_hookcallers(module) or []:
        for impl in caller.get_hookimpls():
            if impl.plugin is module and hasattr(hookspecs, caller.name):
                yield from _checked(caller.name, impl.function())


def _checked(hook: str, offered: Any) -> Iterator[Declaration]:
    """What a hook returned, if it is a list of the declarations that the hook is for."""
    if not isinstance(offered, Sequence) or isinstance(offered, str):
        raise TypeError(f"{hook} returned {offered!r}, not a list of declarations")
    [expected] = get_args(get_type_hints(getattr(hookspecs, hook))["return"])
    for declaration in offered:
        if not isinstance(declaration, expected):
            raise TypeError(f"{hook} returned {declaration!r}, not a {expected.__name__}")
        if not NAME.fullmatch(str(declaration.name)):
            raise ValueError(f"{hook}: the name {declaration.name!r} is not one word")
        if not TARGET.fullmatch(str(declaration.target)):
            raise ValueError(f"{hook}: the target {declaration.target!r} is not 'module:attribute'")
        if not (isinstance(declaration.params, type) and issubclass(declaration.params, Params)):
            raise TypeError(f"{hook}: the params of '{declaration.name}' are not a Params model")
        if isinstance(declaration, Meter):
            _check_metrics(hook, declaration)
        yield declaration


def _check_metrics(hook: str, meter: Meter) -> None:
    """Raises TypeError where a meter's metrics are not declarations of metrics."""
    metrics = meter.specs()
    if not isinstance(metrics, Sequence) or isinstance(metrics, str):
        raise TypeError(f"{hook}: '{meter.name}' writes {metrics!r}, not a list of MetricSpec")
    for metric in metrics:
        if not isinstance(metric, MetricSpec):
            raise TypeError(f"{hook}: '{meter.name}' writes {metric!r}, not a MetricSpec")


def _refuse_misspelt_hooks(
    manager: pluggy.PluginManager, module: ModuleType, provider: Provider
) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = [n for n in dir(hookspecs) if n.startswith("harness_")]
        callers = manager.get_hookcallers(module) or []
        misspelt = next((c.name for c in callers if c.name not in known), str(error))
        raise UserError(
            f"plugin {provider} implements a hook '{misspelt}' that does not exist",
            hint=near_names(misspelt, known),
        ) from error
