"""The metrics that are known: what they are, and how their warnings read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from harness.plugin.declarations import Meter
from harness.plugin.metrics import Finding, MetricSpec
from harness.plugin.registry import Registry


@dataclass(frozen=True)
class Catalog:
    """Metrics by name and wordings by code, in the order in which they were declared."""

    specs: Mapping[str, MetricSpec] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)

    def spec(self, name: str, unit: str = "", higher_is_better: bool | None = None) -> MetricSpec:
        """The metric of this name; of one that nobody declares, what its record says of it."""
        if name in self.specs:
            return self.specs[name]
        better = {None: "", True: "higher", False: "lower"}[higher_is_better]
        return MetricSpec(name, unit=unit, better=better)  # type: ignore[arg-type]

    def word(self, finding: Finding) -> str:
        """A finding as a clause; the bare code where nobody words it."""
        template = self.messages.get(finding.code)
        if template is None:
            return str(finding)
        try:
            return template.format_map(finding.params)
        except (KeyError, IndexError, ValueError, TypeError):
            return str(finding)

    def gravest_first(self, findings: Iterable[Finding]) -> list[Finding]:
        """By level, and within one in the order in which their meter words them."""
        places = {code: place for place, code in enumerate(self.messages)}
        return sorted(findings, key=lambda f: (-f.gravity, places.get(f.code, len(places))))

    def joined(self, other: Self) -> "Catalog":
        """Both; where both know a name, as `self` says."""
        return Catalog({**other.specs, **self.specs}, {**other.messages, **self.messages})

    def with_ranges(self, names: Iterable[str]) -> "Catalog":
        """And the metrics of a manifest's area ranges, each behind that which it is a range of."""
        chosen = list(names)
        specs: dict[str, MetricSpec] = {}
        for spec in self.specs.values():
            specs[spec.name] = spec
            if spec.ranged:
                own = (spec.of_range(name) for name in chosen)
                specs |= {one.name: one for one in own if one.name not in self.specs}
        return Catalog(specs, self.messages)

    def find(self, name: str) -> MetricSpec | None:
        """The metric of this name or short name."""
        if name in self.specs:
            return self.specs[name]
        return next((spec for spec in self.specs.values() if name in spec.short), None)

    @property
    def main_score(self) -> MetricSpec | None:
        """The first by which detectors are ranked; modes are checked by it."""
        return next(iter(self.ranked("score")), None)

    def ranked(self, role: str) -> list[MetricSpec]:
        """Those by which detectors are ranked, as "score" or "cost"."""
        return [spec for spec in self.specs.values() if spec.role == role]

    def to_json(self) -> dict[str, Any]:
        specs = [spec.to_json() for spec in self.specs.values()]
        return {"specs": specs, "messages": dict(self.messages)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`.

        Raises:
            TypeError, ValueError, KeyError: not a catalog.
        """
        specs = [MetricSpec.from_json(one) for one in plain["specs"]]
        return cls({spec.name: spec for spec in specs}, dict(plain["messages"]))

    @classmethod
    def of(cls, specs: Sequence[MetricSpec], messages: Mapping[str, str] | None = None) -> Self:
        return cls({spec.name: spec for spec in specs}, dict(messages or {}))


def declared(registry: Registry) -> Catalog:
    """What the meters of all loaded plugins write."""
    specs: list[MetricSpec] = []
    messages: dict[str, str] = {}
    for entry in registry.entries("meter"):
        meter = entry.declaration
        assert isinstance(meter, Meter)
        messages |= meter.messages
        specs += meter.specs()
    return Catalog.of(specs, messages)
