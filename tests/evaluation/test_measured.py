import json

from cxr_pipeline.evaluation.measured import Findings, Measured, Missing, as_frame, findings_from


def test_findings_are_read_as_they_were_written():
    found = Findings(
        "fidelity",
        {"gan": "abc"},
        [Measured("gan", "fidelity/kid/random", 0.25, 0.125, 0.5, 20)],
        [Missing("vae", "everything", "it is not there: train it")],
        {"seed": 0},
    )
    assert findings_from(json.loads(json.dumps(found.record()))) == found


def test_rows_are_laid_out_as_the_file_has_them():
    table = as_frame([Measured("gan", "a/b", 1.0, 0.5, 1.5, 3)])
    assert list(table.columns) == ["model", "metric", "value", "low", "high", "n"]
    assert table.iloc[0].tolist() == ["gan", "a/b", 1.0, 0.5, 1.5, 3]
    assert as_frame([]).columns.tolist() == list(table.columns)
