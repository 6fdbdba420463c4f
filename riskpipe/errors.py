"""What can go wrong, as one tree.

RiskpipeError
├── ConfigError        a run's configuration cannot be understood            exit 2
├── InputRefused       a snapshot or price history cannot be used as it is   exit 1
├── StoreError         the store is missing, torn, or does not keep promises exit 3
│   └── VerifyError    stored bytes differ from what the manifest promises   exit 3
└── ComputeError       blocks could not be computed                          exit 4

Exit 0 means complete (and published, if it was to be). Any other error is a defect and exits with 70.
"""

from collections.abc import Iterable


class RiskpipeError(Exception):
    """An error with a message made for the person who must act on it."""

    exit_code = 70


class ConfigError(RiskpipeError):
    """A configuration key or value is wrong."""

    exit_code = 2


class InputRefused(RiskpipeError):
    """An input is refused; every problem found is listed, not the first one only."""

    exit_code = 1

    def __init__(self, subject: str, problems: Iterable[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{subject} is refused: {count} problem{'s' if count != 1 else ''}{lines}")

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        """Travel between processes with both arguments."""
        return type(self), (self.subject, self.problems)


class StoreError(RiskpipeError):
    """The store is missing, torn or unable to keep its promises."""

    exit_code = 3


class VerifyError(StoreError):
    """Stored bytes differ from what a manifest or mark promises."""


class ComputeError(RiskpipeError):
    """Blocks could not be computed."""

    exit_code = 4
