"""What can go wrong, as one tree.

RiskpipeError
├── ConfigError        a configuration cannot be understood, or is over its
│                      own limits                                            exit 2
├── InputRefused       a snapshot or price history cannot be used as it is   exit 1
├── StoreError         the store is missing, torn, or does not keep promises exit 3
│   ├── StoreLost      its medium is not there, or no longer: try again      exit 3
│   └── VerifyError    stored bytes differ from what the manifest promises   exit 3
├── ComputeError       blocks could not be computed                          exit 4
│   └── ClusterLost    a cluster that is not there, or no longer: try again  exit 4
├── NightsMissing      of several nights, some are not there                 exit 5
├── AlertsUndelivered  a night is complete, but somebody could not be told   exit 6
└── LimitsBreached     a night is complete, and a limit is breached          exit 10

Exit 0 means complete (and published, if it was to be). Any other error is a defect and exits with 70. Interrupted is
130, as for every program.
"""

import re
from collections.abc import Iterable, Mapping

INTERRUPTED = 130
INTERRUPTION = "riskpipe: interrupted; the same command goes on where this one stopped"
_USER_INFO = re.compile(
    r"(?<=://)(?:[^\s/]*@"  # all before the last @ of the authority
    r"|[^\s/:]*:(?!\d+/)[^\s@'\"]*@)"  # a secret with a slash in it, but no port
)


def masked(text: str) -> str:
    """Replace the user and secret of every URI in a text: `s3://key:secret@host` becomes `s3://***@host`."""
    return _USER_INFO.sub("***@", text)


class RiskpipeError(Exception):
    """An error with a message made for the person who must act on it; it never holds the secret of a URI."""

    exit_code = 70

    def __init__(self, *args: object) -> None:
        super().__init__(*(masked(part) if isinstance(part, str) else part for part in args))


class ConfigError(RiskpipeError):
    """A configuration key or value is wrong, or what it asks for would exceed its own limits."""

    exit_code = 2


class InputRefused(RiskpipeError):
    """An input is refused; every problem found is listed, not the first one only."""

    exit_code = 1

    def __init__(self, subject: str, problems: Iterable[str]) -> None:
        self.subject = masked(subject)
        self.problems = tuple(masked(problem) for problem in problems)
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{self.subject} is refused: {count} problem{'s' if count != 1 else ''}{lines}")

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        """Travel between processes with both arguments."""
        return type(self), (self.subject, self.problems)


class StoreError(RiskpipeError):
    """The store is missing, torn or unable to keep its promises."""

    exit_code = 3


class StoreLost(StoreError):
    """A disk, mount or object store did not do what it was asked: the same may work when it is there again."""


class VerifyError(StoreError):
    """Stored bytes differ from what a manifest or mark promises."""


class ComputeError(RiskpipeError):
    """Blocks could not be computed."""

    exit_code = 4


class ClusterLost(ComputeError):
    """The cluster did not start, does not answer or is gone: the same may work when it is there again."""


class AlertsUndelivered(RiskpipeError):
    """A night is complete and published, but somebody could not be told of its limits."""

    exit_code = 6


class LimitsBreached(RiskpipeError):
    """A night is complete; limits of it are breached or not measured, and its configuration asks for this status."""

    exit_code = 10


class NightsMissing(RiskpipeError):
    """Some of several nights failed; the others are complete."""

    exit_code = 5

    def __init__(self, asked: int, reasons: Mapping[str, str]) -> None:
        self.asked = asked
        self.reasons = {name: masked(reason) for name, reason in reasons.items()}
        listed = "".join(f"\n  - {name}: {reason}" for name, reason in self.reasons.items())
        super().__init__(f"{len(self.reasons)} of {asked} nights are missing: {', '.join(self.reasons)}{listed}")

    def __reduce__(self) -> tuple[type, tuple[int, dict[str, str]]]:
        """Travel between processes with both arguments."""
        return type(self), (self.asked, self.reasons)
