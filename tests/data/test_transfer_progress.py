import logging
import sys

from cxr_pipeline.data import transfer_progress as module
from cxr_pipeline.data.transfer_progress import transfer_progress


def test_without_a_terminal_lines_come_at_intervals(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    times = iter([0.0, 1.0, 11.0, 12.0, 21.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    with transfer_progress("fetching a.tar.gz") as report:
        report(10**9, 4 * 10**9)  # there from an earlier run: no speed of this one
        report(1_500_000_000, 4 * 10**9)
        report(1_600_000_000, 4 * 10**9)
        report(2_050_000_000, None)
    assert caplog.messages == [
        "fetching a.tar.gz: 1.5 GB of 4.0 GB, 45.5 MB/s, 55 s left",
        "fetching a.tar.gz: 2.0 GB, 50.0 MB/s",
    ]


def test_on_a_terminal_a_bar_shows_what_is_done(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    with transfer_progress("fetching a.tar.gz") as report:
        report(10**9, 4 * 10**9)
    shown = capsys.readouterr().err
    assert "fetching a.tar.gz" in shown
    assert "1.0/4.0 GB" in shown
