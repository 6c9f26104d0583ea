"""What the parameter models are made of."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

from cxr_pipeline.data.findings import CLASSES, finding_name

Share = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]


def note(unit: str = "", source: str = "", *, choices: str = "") -> JsonDict:
    """Say of a parameter what `docs/parameters.md` shows beside its description.

    Args:
        unit: What a number counts or is measured in; empty for none.
        source: The paper's section, table or figure, or the authors' code; empty for what is beyond
            the paper.
        choices: What it takes, where its type does not say so.
    """
    return {"unit": unit, "source": source, "choices": choices}


class ClosedModel(BaseModel):
    """Unknown keys, other types and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def as_list(value: Any) -> Any:
    """Take `A|B` for a list, as `--params` parts its own entries at commas."""
    if value is None:
        raise ValueError("nothing stands there: give a list, or [] for an empty one")
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split("|") if part.strip())


def as_numbers(value: Any) -> Any:
    """Take `0.5|1`, or a number alone, for a list of numbers."""
    if isinstance(value, str):
        return [float(part) for part in as_list(value)]
    return [value] if isinstance(value, int | float) else value


def _once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def finding(text: str) -> str:
    """Give a finding its one name, or say which there are."""
    name = finding_name(text)
    if name is None:
        raise ValueError(f"unknown finding {text!r}: choose from {', '.join(CLASSES)}")
    return name


FindingName = Annotated[
    str, AfterValidator(finding), Field(json_schema_extra=note(choices="findings"))
]
Several = (BeforeValidator(as_list), Field(strict=False), AfterValidator(_once_each))


def _no_number(value: Any) -> Any:
    # `Literal` takes 1 for True.
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("should be true, false or a name, not a number")
    return value


TruthOrName = BeforeValidator(_no_number)
"""For a `Literal` of truths and names."""
