"""The cases, one module a file of schemas/vectors. Each begins from something good and changes one thing."""

from typing import Any, Final

from vectors import shape

OURS: Final = "tests/vectors"  #: Provenance of what this generator makes.
GOOD: Final = "The other cases of this group change one thing of this one."


class Group:
    """Cases of one reader, gathered."""

    def __init__(self, read: str, prefix: str, spec: str, **given: Any) -> None:
        self._group = shape.Group(read=read, given=_spelled(given), cases=[])
        self._prefix = prefix
        self._spec = spec

    def add(
        self,
        id_: str,
        expect: str,
        stops: str,
        *,
        spec: str = "",
        output: str | None = None,
        provenance: str = OURS,
        **input_: Any,
    ) -> None:
        """One case; `spec` where its section is another than the group's."""
        case = shape.Case(
            id=f"{self._prefix}-{id_}",
            stops=stops,
            spec=spec or self._spec,
            input=_spelled(input_),
            expect=expect,
            output=output,
            provenance=provenance,
        )
        self._group.cases.append(case)

    def accept(self, id_: str, stops: str = GOOD, *, spec: str = "", output: str | None = None, **input_: Any) -> None:
        """A case that a reader takes."""
        self.add(id_, "accept", stops, spec=spec, output=output, **input_)

    def refuse(self, id_: str, stops: str, *, spec: str = "", **input_: Any) -> None:
        """A case of the class `refused`."""
        self.add(id_, "refused", stops, spec=spec, **input_)

    @property
    def made(self) -> shape.Group:
        """As the file has it."""
        return self._group


def _spelled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _spell(value) for name, value in values.items()}


def _spell(value: Any) -> Any:
    if isinstance(value, bytes):
        return shape.spell(value)
    return [_spell(part) for part in value] if isinstance(value, list | tuple) else value
