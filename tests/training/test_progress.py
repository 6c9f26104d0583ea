import logging
import sys

from cxr_pipeline.training import progress as module
from cxr_pipeline.training.progress import progress

LOSSES = {"loss/discriminator": 0.25, "loss/generator": 1.5}


def test_without_a_terminal_the_end_is_told_in_a_plain_line(caplog):
    caplog.set_level(logging.INFO)
    with progress(total=3) as report:
        for step in (1, 2, 3):
            report(step, LOSSES, 80.4)
    assert caplog.messages == [
        "step 3 of 3, discriminator 0.250, generator 1.500, 80 images/s, 0 s left"
    ]


def test_without_a_terminal_lines_come_at_intervals(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress(total=4, done=2) as report:
        report(3, LOSSES, 10.0)
        report(4, LOSSES, 10.0)
    assert [message.split(",")[0] for message in caplog.messages] == ["step 3 of 4", "step 4 of 4"]


def test_on_a_terminal_a_bar_shows_steps_losses_and_speed(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    with progress(total=4) as report:
        report(2, LOSSES, 80.4)
    shown = capsys.readouterr().err
    assert "2/4" in shown
    assert "discriminator 0.250, generator 1.500, 80 images/s" in shown
