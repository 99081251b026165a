"""Which architecture the parts of a detector make, and what a whole detector may be given."""

from collections.abc import Collection
from typing import cast

from harness.errors import UserError, near_names
from harness.manifest.reader import Place
from harness.manifest.schema import DetectorSpec, Use
from harness.plan.cells import Part
from harness.plugin.declarations import Architecture, WholeDetector
from harness.plugin.registry import Registry


def choose_architecture(registry: Registry, detector: DetectorSpec, place: Place) -> Use:
    """The one that is named, else the one that has exactly the slots that are filled.

    Raises:
        UserError: a slot is missing or unknown, or two architectures have these slots.
    """
    named = detector.architecture
    if named is not None:
        where = place(("architecture", "use"))
        found = registry.get("architecture", named.use, where).declaration
        _check_slots(cast(Architecture, found), detector.parts, place)
        return named
    known = [cast(Architecture, e.declaration) for e in registry.entries("architecture")]
    filled = set(detector.parts)
    fitting = [a for a in known if set(a.slots) == filled]
    if len(fitting) > 1:
        names = [a.name for a in fitting]
        raise UserError(
            f"has the parts of {' and of '.join(names)}",
            where=place(()),
            hint=f"choose with 'architecture: {names[0]}'",
        )
    # of equally near ones that with the fewest slots left to fill
    nearest = min(known, key=lambda a: (len(set(a.slots) ^ filled), len(set(a.slots) - filled)))
    _check_slots(nearest, detector.parts, place)
    return Use(use=nearest.name)


def _check_slots(architecture: Architecture, filled: Collection[str], place: Place) -> None:
    """Raises UserError where a slot is empty, or a part has no place."""
    own = f"{architecture.name} is assembled from {', '.join(architecture.slots)}"
    for kind in filled:
        if kind not in architecture.slots:
            raise UserError(
                f"the architecture '{architecture.name}' has no slot '{kind}'",
                where=place((kind,)),
                hint=f"{near_names(kind, list(architecture.slots))}; {own}",
            )
    missing = [slot for slot in architecture.slots if slot not in filled]
    if missing:
        raise UserError(
            f"is missing {', '.join(missing)} (or a whole 'detector')", where=place(()), hint=own
        )


def check_whole(part: Part, detector: DetectorSpec, place: Place) -> None:
    """Raises UserError where a whole detector is given what it decides itself."""
    takes = cast(WholeDetector, part.declaration).takes
    asked = {"input": "input", "backbone": "backbone", "backbone_checkpoint": "backbone"}
    for key, needed in asked.items():
        is_given = key in detector.model_fields_set and getattr(detector, key) is not None
        if is_given and needed not in takes:
            raise UserError(
                f"'{part.declaration.name}' is a whole detector and decides on {key}",
                where=place((key,)),
                hint=f"it takes {' and '.join(takes)}" if takes else "leave it out",
            )
