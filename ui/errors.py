"""The one place where an exception becomes a message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cracklib.errors import CrackError

APOLOGY = (
    "Something went wrong in the program itself, not in what you did. "
    "It has been noted; please try again, or try another photo."
)


@contextmanager
def errors_told(tell: Callable[[str], object]) -> Iterator[None]:
    """Give ``tell`` the message of a ``CrackError``; log anything else and apologise."""
    try:
        yield
    except CrackError as error:
        tell(str(error))
    except Exception:
        logging.getLogger(__name__).exception("Bug: an error that no message was written for")
        tell(APOLOGY)
