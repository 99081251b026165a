"""Finding plugins: by entry point and by -p, and what becomes of those that misbehave."""

from pathlib import Path

import pytest
from outside import declaring, install

from harness.errors import UserError
from harness.plugin.manager import load_plugins
from harness.plugin.registry import Registry


def refusal(*extra: str) -> str:
    with pytest.raises(UserError) as caught:
        load_plugins(extra)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def provider_of(registry: Registry, kind: str, name: str) -> str:
    return str(registry.get(kind, name).provider)


def test_shipped_plugins_are_found_like_anybodys():
    registry = load_plugins()
    assert not registry.failed
    assert {"tinydet", "roi_ops", "coco", "synthetic", "meters"} <= {
        p.name for p in registry.providers
    }
    assert registry.get("backbone", "mobilenetv3_d").provider.origin == "harness"


def test_an_installed_distribution_is_found_by_its_entry_point(site: Path):
    install(site, "vision_extras", declaring("vision_extras", "extra"), version="2.5")
    registry = load_plugins()
    assert provider_of(registry, "backbone", "extra") == "'vision_extras' (vision_extras 2.5)"
    assert registry.get("backbone", "extra").declaration.load()(width=3) == {"width": 3}


def test_a_file_is_found_by_option_and_known_by_its_hash(tmp_path: Path, site: Path):
    file = tmp_path / "in_the_making.py"
    file.write_text(declaring("in_the_making", "fresh"))
    first = load_plugins([str(file)]).get("backbone", "fresh").provider
    assert first.origin == str(file)
    assert first.version not in ("", "unknown")
    assert load_plugins([str(file), str(file)]).get("backbone", "fresh").provider == first
    file.write_text(file.read_text() + "\n# changed\n")
    assert load_plugins([str(file)]).get("backbone", "fresh").provider.version != first.version


def test_a_module_is_found_by_option(site: Path):
    (site / "loose_module.py").write_text(declaring("loose_module", "loose"))
    registry = load_plugins(["loose_module", "loose_module"])
    assert provider_of(registry, "backbone", "loose").startswith("'loose_module' (module ")


def test_naming_an_installed_plugin_again_is_no_conflict():
    assert load_plugins(["harness_plugins.tinydet"]).failed == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nowhere.py", "-p nowhere.py: no such file (a module name or a file.py)"),
        ("no_such_module", "-p no_such_module: no such module (a module name or a file.py)"),
        ("harness_plugins.nothing", "-p harness_plugins.nothing: no such module"),
        ("./here", "-p ./here: no such module"),
        ("", "-p : no such module"),
        (".relative", "-p .relative: no such module"),
    ],
)
def test_an_option_that_names_nothing(name: str, expected: str):
    assert refusal(name).startswith(expected)


def test_a_file_must_not_take_the_name_of_a_module(tmp_path: Path):
    for name in ("json", "colorsys"):  # imported already, and not
        (tmp_path / f"{name}.py").write_text(declaring(name, "x"))
        assert "exists already (rename the file)" in refusal(str(tmp_path / f"{name}.py"))


def test_a_conflict_names_both_providers(site: Path):
    install(site, "vision_one", declaring("vision_one", "same"))
    install(site, "vision_two", declaring("vision_two", "same"), version="3.1")
    line = refusal()
    assert "backbone 'same' is offered by two plugins" in line
    assert "'vision_one' (vision_one 1.0)" in line
    assert "'vision_two' (vision_two 3.1)" in line


def test_a_conflict_with_a_shipped_part(site: Path):
    install(site, "vision_three", declaring("vision_three", "mobilenetv3_d"))
    line = refusal()
    assert "'tinydet' (harness " in line
    assert "'vision_three' (vision_three 1.0)" in line


def test_the_same_name_may_mean_one_thing_per_kind(site: Path):
    install(site, "vision_four", declaring("vision_four", "mobilenetv3_d", "Neck", "harness_necks"))
    assert provider_of(load_plugins(), "neck", "mobilenetv3_d").startswith("'vision_four'")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import not_installed_anywhere", "ModuleNotFoundError: No module"),
        ("raise ValueError('one\\ntwo')", "ValueError: one"),
        ("def broken(:", "SyntaxError: invalid syntax"),
    ],
)  # fmt: skip
def test_a_plugin_that_raises_at_import_is_listed_and_the_others_load(
    site: Path, source: str, expected: str
):
    install(site, "vision_broken", source)
    install(site, "vision_sound", declaring("vision_sound", "sound"))
    registry = load_plugins()
    assert [f.name for f in registry.failed] == ["vision_broken"]
    assert registry.failed[0].error.startswith(expected)
    assert "\n" not in registry.failed[0].error
    assert registry.get("backbone", "sound")
    assert registry.get("backbone", "mobilenetv3_d")


def test_a_failed_plugin_is_named_where_its_part_is_missed(site: Path):
    install(site, "vision_broken", "1 / 0")
    with pytest.raises(UserError) as caught:
        load_plugins().get("backbone", "mobilenetv4")
    line = str(caught.value)
    assert "no backbone is called 'mobilenetv4' (did you mean 'mobilenetv3_" in line
    assert "plugin 'vision_broken' failed to load: ZeroDivisionError" in line


def test_ctrl_c_while_plugins_load_is_not_a_failed_plugin(site: Path):
    install(site, "vision_slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()


def test_a_misspelt_hook_is_an_error(site: Path):
    source = declaring("vision_typo", "typo", hook="harness_backbone")
    install(site, "vision_typo", source)
    install(site, "vision_sound", declaring("vision_sound", "sound"))
    assert refusal().startswith(
        "plugin 'vision_typo' (vision_typo 1.0) implements a hook 'harness_backbone' that does "
        "not exist (did you mean 'harness_backbones'?"
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return None", "harness_backbones returned None, not a list of declarations"),
        ("return 3", "harness_backbones returned 3, not a list of declarations"),
        ("return ['mobilenet']", "harness_backbones returned 'mobilenet', not a Backbone"),
        ("return [Neck('n', 'm:a', NoParams, 's')]", "harness_backbones returned Neck("),
        ("return [Backbone('two words', 'm:a', NoParams, 's')]", "the name 'two words' is not"),
        ("return [Backbone('', 'm:a', NoParams, 's')]", "the name '' is not"),
        ("return [Backbone('n', 'm.a', NoParams, 's')]", "the target 'm.a' is not"),
        ("return [Backbone('n', 'm:a', dict, 's')]", "the params of 'n' are not"),
        ("raise RuntimeError('in the hook')", "RuntimeError: in the hook"),
        ("return [Backbone('n')]", "TypeError"),
    ],
)  # fmt: skip
def test_a_hook_that_returns_junk(site: Path, body: str, expected: str):
    lines = [
        "from harness.plugin.declarations import Backbone, Neck, NoParams",
        "from harness.plugin.hookspecs import hookimpl",
        "@hookimpl",
        "def harness_backbones():",
        f"    {body}",
    ]
    install(site, "vision_junk", "\n".join(lines))
    registry = load_plugins()
    assert [f.name for f in registry.failed] == ["vision_junk"]
    assert expected in registry.failed[0].error
    assert registry.get("backbone", "mobilenetv3_d")


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ("('ap', 'ar')", "'mine' writes 'ap', not a MetricSpec"),
        ("'ap'", "'mine' writes 'ap', not a list of MetricSpec"),
        ("None", "'mine' writes None, not a list of MetricSpec"),
        ("lambda params: ['ap']", "'mine' writes 'ap', not a MetricSpec"),
        ("(MetricSpec('AP'),)", "ValueError: metric 'AP': a name is lower-case letters"),
        ("lambda params: (MetricSpec('ap', role='score'),)", "needs to say which way is better"),
    ],
)  # fmt: skip
def test_metrics_that_are_not_declared_as_such(site: Path, metrics: str, expected: str):
    lines = [
        "from harness.plugin import Meter, MetricSpec, NoParams, hookimpl",
        "@hookimpl",
        "def harness_meters():",
        f"    return [Meter('mine', 'm:a', NoParams, 's', 'cost', {metrics})]",
    ]
    install(site, "vision_meter", "\n".join(lines))
    registry = load_plugins()
    assert [f.name for f in registry.failed] == ["vision_meter"]
    assert expected in registry.failed[0].error
    assert registry.get("meter", "coco_ap")


def test_metrics_may_need_params_that_have_no_defaults(site: Path):
    lines = [
        "from harness.plugin import Meter, MetricSpec, Params, hookimpl",
        "class Limit(Params):",
        "    limit: int",
        "@hookimpl",
        "def harness_meters():",
        "    metrics = lambda params: (MetricSpec(f'mine_{params.limit}'),)",
        "    return [Meter('mine', 'm:a', Limit, 's', 'cost', metrics)]",
    ]
    install(site, "vision_limit", "\n".join(lines))
    registry = load_plugins()
    assert not registry.failed
    meter = registry.get("meter", "mine").declaration
    assert [spec.name for spec in meter.specs(meter.params(limit=3))] == ["mine_3"]


def test_a_hook_with_arguments_that_it_is_not_given(site: Path):
    source = declaring("vision_args", "x").replace("harness_backbones()", "harness_backbones(when)")
    install(site, "vision_args", source)
    registry = load_plugins()
    assert [f.name for f in registry.failed] == ["vision_args"]
    assert "when" in registry.failed[0].error


def test_two_distributions_may_give_their_entry_points_one_name(site: Path):
    install(site, "vision_a", declaring("vision_a", "a"))
    install(site, "vision_b", declaring("vision_b", "b"))
    for module in ("vision_a", "vision_b"):
        points = site / f"{module}-1.0.dist-info" / "entry_points.txt"
        points.write_text(f"[harness]\nvision = {module}\n")
    registry = load_plugins()
    assert not registry.failed
    assert provider_of(registry, "backbone", "a") == "'vision' (vision_a 1.0)"
    assert provider_of(registry, "backbone", "b") == "'vision' (vision_b 1.0)"
