"""How many examples Hypothesis draws: a third of them, or all with KINTO_TEST_EXAMPLES=all (`make test-examples`)."""

import os
from typing import Final

_SHARE: Final = 1 if os.environ.get("KINTO_TEST_EXAMPLES") == "all" else 3


def examples(number: int) -> int:
    """Return how many of *number* examples are drawn in this run."""
    return -(-number // _SHARE)
