"""What the loaded plugins offer, by kind and name."""

from dataclasses import dataclass, field

from harness.errors import UserError, near_names
from harness.plugin.declarations import Declaration


@dataclass(frozen=True)
class Provider:
    """A plugin that loaded.

    Attributes:
        name: entry-point name, or what `-p` named.
        version: version of its distribution, or a hash of the file given by `-p`.
        origin: the distribution or file it came from.
    """

    name: str
    version: str
    origin: str

    def __str__(self) -> str:
        return f"'{self.name}' ({self.origin} {self.version})"


@dataclass(frozen=True)
class FailedPlugin:
    name: str
    error: str


@dataclass(frozen=True)
class Entry:
    declaration: Declaration
    provider: Provider


@dataclass(eq=False)
class Registry:
    """Declarations with their providers; a name means one thing per kind."""

    providers: list[Provider] = field(default_factory=list)
    failed: list[FailedPlugin] = field(default_factory=list)
    _entries: dict[str, dict[str, Entry]] = field(default_factory=dict)

    def add(self, declaration: Declaration, provider: Provider) -> None:
        """Raises UserError, naming both providers, when the name is taken."""
        of_kind = self._entries.setdefault(declaration.kind, {})
        taken = of_kind.get(declaration.name)
        if taken is not None:
            raise UserError(
                f"{declaration.kind} '{declaration.name}' is offered by two plugins: "
                f"{taken.provider} and {provider}",
                hint="rename one of them or uninstall its plugin",
            )
        of_kind[declaration.name] = Entry(declaration, provider)

    def get(self, kind: str, name: str, where: object = "") -> Entry:
        """Raises UserError with the near name, what exists and which plugins failed."""
        of_kind = self._entries.get(kind, {})
        if name in of_kind:
            return of_kind[name]
        hint = near_names(name, list(of_kind))
        failed = "; ".join(f"plugin '{f.name}' failed to load: {f.error}" for f in self.failed)
        raise UserError(
            f"no {kind} is called '{name}'",
            where=where,
            hint=f"{hint}; {failed}" if failed else hint,
        )

    def entries(self, kind: str | None = None) -> list[Entry]:
        """All entries of a kind, or of every kind, by kind and name."""
        kinds = sorted(self._entries) if kind is None else [kind]
        return [e for k in kinds for _, e in sorted(self._entries.get(k, {}).items())]

    def names(self, kind: str) -> tuple[str, ...]:
        """Of a kind, in the order in which plugins declare them."""
        return tuple(self._entries.get(kind, {}))

    def kinds(self) -> list[str]:
        return sorted(self._entries)
