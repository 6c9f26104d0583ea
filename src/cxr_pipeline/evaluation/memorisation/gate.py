"""What a closed release gate raises, which is no failure of the run."""


class GateClosedError(ValueError):
    """More of a model's samples are copies than are let out; all else of the run is done."""


def gate_is_closed(error: BaseException) -> bool:
    """Tell a run that ended at the gate from one that failed."""
    return isinstance(error, GateClosedError)
