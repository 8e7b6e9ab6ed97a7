"""The batch that encloses a view: operations that the view performs join its transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from app.errors import ApiError
from app.operation import Answer, Operation, View
from app.service import Service
from app.transactions.write_transaction import Retry
from backends import BackendError


@dataclass(slots=True)
class EnclosingBatch:
    """The batch around a view that runs, with the function by which it performs further operations.

    It remembers why operations of the view failed, even if the view catches the error: the transaction is unusable.
    """

    service: Service
    perform: Callable[[Sequence[Operation]], list[Answer]]
    failure: Exception | None = None

    def join(self, operations: Sequence[Operation]) -> list[Answer]:
        """Perform operations of the view as part of the batch."""
        try:
            return self.perform(operations)
        except (ApiError, BackendError, Retry) as error:
            self.failure = error
            raise

    def run(self, view: View) -> None:
        """Run the view. Raises the error of its operations if any failed, else the error that the view raises."""
        token = enclosing_batch.set(self)
        try:
            view.answer()
        finally:
            enclosing_batch.reset(token)
            if self.failure is not None:
                raise self.failure


enclosing_batch: Final[ContextVar[EnclosingBatch | None]] = ContextVar("enclosing_batch", default=None)
"""The batch around the view that this thread runs."""
