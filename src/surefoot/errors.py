"""What surefoot refuses, and the way out.  A name, a value or a file -> an exception that says what it saw.

A training that diverges is a result (``run.ended == "diverged"``), never one of these::

    SurefootError
    ├── ProblemError (ValueError)   the model, the data or the loss cannot be descended
    │   └── UserFileError           a table, an image folder or a Python file of the user's
    ├── SettingError (ValueError)   a learning rate, a count or a name that makes no sense
    │   └── NotInstalled (ImportError)  a framework or a library that an extra brings
    └── StoreError                  the file of runs cannot be read or written

    SurefootWarning (UserWarning)   the descent goes on, but something is probably not meant
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SurefootError(Exception):
    """Misuse: the message names what was seen and the way out."""


class ProblemError(SurefootError, ValueError):
    """The model, the data or the loss cannot be descended."""


class UserFileError(ProblemError):
    """A table, an image folder or a Python file of the user's cannot be made into a problem."""


class SettingError(SurefootError, ValueError):
    """A learning rate, a count or a name that makes no sense."""


class NotInstalled(SettingError, ImportError):
    """A framework or a library that is asked for is not there; the message names the extra that brings it."""

    @classmethod
    def of(cls, what: str, error: ImportError, extra: str) -> NotInstalled:
        """The error for a missing library.

        Args:
            what: what needs it, as the beginning of a sentence.
            error: what the import raised.
            extra: the extra of surefoot that brings it.

        Example:
            >>> print(NotInstalled.of("The Lightning callback", ImportError("No module named 'lightning'"), "lightning"))
            The Lightning callback needs a package that is not there (No module named 'lightning'). Try: pip install "surefoot[lightning]"
        """
        return cls(f'{what} needs a package that is not there ({error}). Try: pip install "surefoot[{extra}]"')


class StoreError(SurefootError):
    """The file of runs cannot be read or written."""


class SurefootWarning(UserWarning):
    """The descent goes on, but something is probably not meant."""


def unknown(kind: str, name: object, known: Iterable[str]) -> SettingError:
    """The error for a name that is not in the list, with the nearest one that is.

    >>> print(unknown("schedule", "cosin", ["constant", "cosine"]))
    There is no schedule named 'cosin'. Did you mean 'cosine'? Known: constant, cosine.
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return SettingError(f"There is no {kind} named {name!r}.{hint} Known: {', '.join(names)}.")
