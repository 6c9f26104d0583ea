"""Writes `docs/parameters.md` from the parameters' models and the configuration.

python -m cxr_pipeline.parameters.reference
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.parameters import Parameters
from cxr_pipeline.parameters.training import ConditionalParameters, TrainingParameters

PROJECT = Path(__file__).resolve().parents[3]
PAGE = PROJECT / "docs/parameters.md"

INTRODUCTION = """\
# Parameters

*Written by `make docs` from [`parameters/`](../src/cxr_pipeline/parameters) and [`conf/`](../conf):
change those, not this page.*

Any of them can be set for one run, several parted by commas:

```bash
.venv/bin/kedro run --pipeline=gan --params=gan.epochs=40,gan.seed=1
.venv/bin/kedro run --pipeline=gan "--params=gan.selection.findings=Mass|Nodule"    # a list
```

or for good in `conf/local/parameters.yml`, which is not committed. A name that is not below, or a
value of another type or out of its range, is refused before anything is read. *Default* is what
[`conf/base`](../conf/base) says, for the small sample data; below it, after `cxr14`, what
`--env=cxr14` says otherwise: the paper's settings, for all of ChestX-ray14. *From* is the paper's
section, table or figure, or the authors' code; the rest is beyond the paper.
"""

MODELS = tuple(
    name
    for name, field in Parameters.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, TrainingParameters)
)
SELECTING = ("preprocessing", *MODELS, "classifier")

HEAD = ["| parameter | takes | default | meaning | from |", "| --- | --- | --- | --- | --- |"]

OR = "\\|"
"""`A|B` in a table's cell."""
NOT_SET = object()

Schema = Mapping[str, Any]


def render() -> str:
    """Write the page: a section a group of parameters, what several share once.

    Raises:
        OSError: If the configuration is not there, as where the package is installed without it.
    """
    schema = Parameters.model_json_schema()
    base, paper = _configuration("base"), _configuration("cxr14")
    page = _Page(schema["$defs"], base, paper)
    sections = {name: field for name, field in schema["properties"].items() if "$ref" in field}
    parts = [
        INTRODUCTION,
        _section("The data", "", page.rows(schema, "", left_out=sections)),
        _section(
            f"Every selection: {_sections(SELECTING)}",
            f"SECTION is one of these. {page.text('SelectionParameters')}",
            page.selections(),
        ),
    ]
    for name, field in sections.items():
        if name == MODELS[0]:
            about = "MODEL is one of these; defaults that differ stand in their order."
            parts.append(_section(f"Every model: {_sections(MODELS)}", about, page.shared()))
        model = page.resolve(field)
        left_out = {"selection", *(ConditionalParameters.model_fields if name in MODELS else ())}
        rows = page.rows(model, f"{name}.", left_out=left_out)
        parts.append(_section(f"`{name}.`", model["description"], rows))
    return "\n".join(parts)


class _Page:
    """The models' schemas and the values of both environments."""

    def __init__(self, models: Schema, base: Schema, paper: Schema) -> None:
        self.models, self.base, self.paper = models, base, paper

    def resolve(self, field: Schema) -> Schema:
        model: Schema = self.models[field["$ref"].rpartition("/")[2]]
        return model

    def text(self, model: str) -> str:
        return str(self.models[model]["description"])

    def rows(
        self,
        model: Schema,
        prefix: str,
        *,
        left_out: Collection[str],
    ) -> Iterator[str]:
        """A row a parameter; those of a section within are named after it."""
        for name, field in model["properties"].items():
            path = prefix + name
            if name in left_out:
                continue
            if "$ref" in field:
                yield from self.rows(self.resolve(field), f"{path}.", left_out=left_out)
            elif "additionalProperties" in field:
                yield _row(path, field["choices"], "nine rows", field)
                row = self.resolve(field["additionalProperties"])
                for inner, of_row in row["properties"].items():
                    yield _row(f"{path}.VERSION.{inner}", _takes(of_row), "by version", of_row)
            elif field.get("items", {}).get("$ref"):
                default = (
                    "those in [`parameters_download.yml`](../conf/base/parameters_download.yml)"
                )
                yield _row(path, "list of files such as the label file", default, field)
            else:
                yield _row(path, _takes(field), self.default([path]), field)

    def shared(self) -> Iterator[str]:
        """A row for each parameter of every model, and of those that may be conditional."""
        properties = self.models["GanParameters"]["properties"]
        for name in ConditionalParameters.model_fields:
            if name != "selection":
                paths = [f"{model}.{name}" for model in MODELS if name in self.base[model]]
                field = properties[name]
                yield _row(f"MODEL.{name}", _takes(field), self.default(paths), field)

    def selections(self) -> Iterator[str]:
        """A row for each thing to select images by."""
        for name, field in self.models["SelectionParameters"]["properties"].items():
            default = self.default([f"{section}.selection.{name}" for section in SELECTING])
            yield _row(f"SECTION.selection.{name}", _takes(field), default, field)

    def default(self, paths: list[str]) -> str:
        """The value in `conf/base`, and that in `conf/cxr14` where it is another."""
        base = [_look_up(self.base, path) for path in paths]
        paper = [
            own if other is NOT_SET else other
            for own, other in zip(base, (_look_up(self.paper, path) for path in paths), strict=True)
        ]
        shown = _values(base)
        return shown if paper == base else f"{shown}<br>`cxr14`: {_values(paper)}"


def _sections(names: Collection[str]) -> str:
    return ", ".join(f"`{name}.`" for name in names)


def _section(title: str, about: str, rows: Iterator[str]) -> str:
    return "\n".join([f"## {title}", "", *([about, ""] if about else []), *HEAD, *rows, ""])


def _row(path: str, takes: str, default: str, field: Schema) -> str:
    source = field.get("source") or "beyond the paper"
    cells = [f"`{path}`", takes, default, field.get("description", ""), source]
    return f"| {' | '.join(cell.replace('|', OR) for cell in cells)} |"


def _takes(field: Schema) -> str:
    """Say which values a parameter takes, and their unit."""
    kinds = field.get("anyOf", [field])
    said = [_kind(kind) for kind in kinds if kind.get("type") != "null"]
    if field.get("choices"):
        said = [field["choices"]]
    if field.get("unit"):
        said.append(field["unit"])
    shown = ", ".join(said)
    return f"{shown}, or `null`" if {"type": "null"} in kinds else shown


def _kind(field: Schema) -> str:
    choices = [field["const"]] if "const" in field else field.get("enum")
    if field.get("type") == "boolean":
        choices = [True, False]
    if choices is not None:
        return ", ".join(_value(choice) for choice in choices)
    if field["type"] == "array":
        several = field.get("prefixItems")
        items = several[0] if several else field["items"]
        return f"list of {len(several)}: {_kind(items)}" if several else f"list: {_kind(items)}"
    if field["type"] == "string":
        return str(field.get("choices") or "text")
    return f"{'whole number' if field['type'] == 'integer' else 'number'}{_range(field)}"


def _range(field: Schema) -> str:
    words = {
        "minimum": "from",
        "maximum": "to",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
    }
    return "".join(f" {word} {field[key]}" for key, word in words.items() if key in field)


def _values(values: list[Any]) -> str:
    alike = all(value == values[0] for value in values)
    return " / ".join(_value(value) for value in (values[:1] if alike else values))


def _value(value: Any) -> str:
    if value is NOT_SET:
        return ""
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower() if value is not None else 'null'}`"
    if isinstance(value, list):
        return f"`[{', '.join(str(part) for part in value)}]`"
    # Kedro resolves these when it reads them: a folder of the project, an environment variable.
    text = re.sub(r"\$\{project:(.*)\}", r"\1", str(value))
    text = re.sub(r"\$\{environment:(\w+),null\}", r"$\1", text)
    return f"`{text}`"


def _look_up(values: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(values, Mapping) or key not in values:
            return NOT_SET
        values = values[key]
    return values


def _configuration(environment: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in sorted((PROJECT / "conf" / environment).glob("parameters*.yml")):
        merged |= yaml.safe_load(path.read_text())
    return merged


if __name__ == "__main__":
    write_bytes(PAGE, render().encode())
