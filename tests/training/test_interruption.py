import signal
import threading

import pytest

from cxr_pipeline.training.interruption import deferred_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_until_it_is_delivered(number):
    came = []
    before = signal.signal(number, lambda *arguments: came.append(arguments[0]))
    try:
        with deferred_signals() as signals:
            assert signals.number is None
            signal.raise_signal(number)
            assert (signals.number, came) == (number, [])
            signals.deliver(signals.number)
            assert came == [number]
    finally:
        signal.signal(number, before)


def interrupt(times, reached, error=None):
    with deferred_signals():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            reached.append("after a signal")
        if error:
            raise error


def test_the_second_signal_acts_at_once():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(2, reached)
    assert reached == ["after a signal"]


def test_a_signal_that_nobody_asked_about_acts_at_the_end():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(1, reached)
    assert reached == ["after a signal"]


def test_an_error_is_not_hidden_by_a_signal():
    with pytest.raises(ZeroDivisionError):
        interrupt(1, [], ZeroDivisionError())


def test_afterwards_signals_act_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with deferred_signals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_delivering_nothing_does_nothing():
    with deferred_signals() as signals:
        signals.deliver(signals.number)


def test_other_threads_leave_signals_alone():
    seen = []

    def work():
        with deferred_signals() as signals:
            seen.append((signal.getsignal(signal.SIGINT), signals.number))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGINT), None)]
