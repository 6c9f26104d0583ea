from pydantic import BaseModel

from cxr_pipeline.parameters import Parameters, reference


def names(model, prefix=""):
    """Every parameter, as it is typed."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from names(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def test_the_page_is_as_parameters_and_configuration_are():
    # `make docs` writes it anew.
    assert reference.PAGE.read_text() == reference.render()


def test_every_parameter_is_on_the_page_with_what_it_means():
    rows = {line.split("`")[1]: line for line in reference.render().splitlines() if "| `" in line}
    for path, field in names(Parameters):
        _, _, rest = path.partition(".")
        shared = "SECTION" if rest.startswith("selection.") else "MODEL"
        row = rows[path] if path in rows else rows[f"{shared}.{rest}"]
        assert field.description, path
        assert field.description.replace("|", r"\|") in row, path


def test_a_row_says_type_range_unit_defaults_and_source():
    page = reference.render()
    assert (
        "| `gmvae.learning_rate` | number above 0 below 1 | `0.001`<br>`cxr14`: `0.0001` | Adam's. "
        "| section 5 |"
    ) in page
    assert "| `MODEL.batch_size` | whole number from 2, images | `64` |" in page
    assert "| `MODEL.epochs` | whole number above 0, epochs | `35` / `45` / `30`<br>" in page
    assert "whole number above 0, steps, or `null` | `null` |" in page
    assert "list: findings | `[]`<br>`cxr14`: `[]` / `[No Finding]` / `[No Finding]`" in page
    assert "`cxr14`: `$CXR14_DIR`" in page


def test_a_default_that_changes_makes_the_page_stale(monkeypatch):
    before = reference.render()
    read = reference._configuration
    changed = {"prune": {"stores": 7, "models": 3, "dry_run": False}}
    monkeypatch.setattr(reference, "_configuration", lambda name: read(name) | changed)
    assert reference.render() != before
