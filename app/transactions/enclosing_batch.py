"""The batch around a view: operations that the view performs join its transaction."""

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
    """Remembers why operations of a view failed, whatever the view makes of it: the transaction is of no more use."""

    service: Service
    perform: Callable[[Sequence[Operation]], list[Answer]]
    failure: Exception | None = None

    def join(self, operations: Sequence[Operation]) -> list[Answer]:
        """Perform operations that the view asks for."""
        try:
            return self.perform(operations)
        except (ApiError, BackendError, Retry) as error:
            self.failure = error
            raise

    def answer(self, view: View) -> None:
        """Let the view answer. Raises what it raises, or what its operations raised."""
        known = enclosing_batch.set(self)
        try:
            view.answer()
        finally:
            enclosing_batch.reset(known)
            if self.failure is not None:
                raise self.failure


enclosing_batch: Final[ContextVar[EnclosingBatch | None]] = ContextVar("batch", default=None)
"""What is around the view that this thread asks."""
