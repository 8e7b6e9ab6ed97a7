"""Run the steps of the folder `versions` with Alembic, one transaction each, one process at a time.

A step for which a transaction is too much (`CREATE INDEX CONCURRENTLY`) opens `op.get_context().autocommit_block()`.
It gives up the lock there, so it stands alone in its file and names what it makes with `if_not_exists`.
"""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select

from backends.storage.migrations import VERSION_TABLE, installed
from backends.storage.migrations.narration import MigrationPlan, Narration, Step
from backends.storage.migrations.preconditions import check

VERSIONS: Final = pathlib.Path(__file__).parent / "versions"

_LOCK_KEY: Final = 0x6B696E746F
"""Any number that nobody else locks: the letters of "kinto"."""

_OPTIONS: Final[dict[str, Any]] = {"version_table": VERSION_TABLE, "transactional_ddl": True}

_lock = select(func.pg_advisory_xact_lock(_LOCK_KEY))


def upgrade(
    engine: Engine,
    dry_run: bool,
    report: Callable[[str], None],
    versions: pathlib.Path = VERSIONS,
    turn: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> None:
    """Run the missing steps of the folder *versions*. See `backends.storage.migrations.migrate` for the rest.

    What is missing is asked anew before each step, under the lock: another process may have run it meanwhile.
    """
    steps = _Steps(versions)
    tell = Narration(engine.dialect.name, report, dry_run, versions)
    if dry_run:
        with engine.connect() as connection:
            first = _plan(connection, steps, tell)
        tell.begin(first)
        for step in first.missing:
            tell.step(first, step)
        tell.end(first)
        return
    with turn():
        first = _run_next(engine, steps, tell, None)
        for _ in first.missing[1:]:
            _run_next(engine, steps, tell, first)
    tell.end(first)


def script(dialect_name: str, since: str | None = None) -> str:
    """Return the SQL of the steps after version *since*."""
    steps = _Steps(VERSIONS)
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written, "starting_rev": since, "fn": steps.after_heads}
    context = MigrationContext.configure(dialect_name=dialect_name, opts=_OPTIONS | options)
    with Operations.context(context), context.begin_transaction():
        context.run_migrations()
    return written.getvalue()


class _Steps:
    """The files of a folder, in their order."""

    def __init__(self, folder: pathlib.Path) -> None:
        directory = ScriptDirectory(str(folder.parent), version_locations=[str(folder)])
        self._scripts = tuple(reversed(list(directory.walk_revisions())))
        self._map = directory.revision_map
        self.all = tuple(Step(script.revision, pathlib.Path(script.path)) for script in self._scripts)

    def after_heads(self, heads: Sequence[str], context: MigrationContext) -> list[RevisionStep]:
        """Return, for Alembic, what to run after the version in *heads*: all of it into a text, else one step."""
        done = next((at for at, step in enumerate(self.all, 1) if step.version in heads), 0)
        missing = [RevisionStep(self._map, script, is_upgrade=True) for script in self._scripts[done:]]
        return missing if context.as_sql else missing[:1]


def _plan(connection: Connection, steps: _Steps, tell: Narration) -> MigrationPlan:
    """Compare the database with the files. Raises SchemaError when it is not for us to touch, or newer."""
    found = installed(connection)
    if found is None:
        check(connection, tell.report)
        return MigrationPlan(None, steps.all)
    known = [step.version for step in steps.all]
    if found not in known:
        tell.refuse_newer(found, known[-1])
    return MigrationPlan(found, steps.all[known.index(found) + 1 :])


def _run_next(engine: Engine, steps: _Steps, tell: Narration, first: MigrationPlan | None) -> MigrationPlan:
    """Run one step, if any is missing, and return what was missing before; without *first*, tell of that too."""
    with _alone(engine, steps) as (connection, context):
        plan = _plan(connection, steps, tell)
        if first is None:
            tell.begin(plan)
        if plan.missing:
            tell.step(first or plan, plan.missing[0])
            with Operations.context(context):
                context.run_migrations()
    return plan


@contextmanager
def _alone(engine: Engine, steps: _Steps) -> Iterator[tuple[Connection, MigrationContext]]:
    """Open a transaction in which no other process migrates this database.

    It is Alembic's own, since only such a one can be left for a while by `autocommit_block`.
    """
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=_OPTIONS | {"fn": steps.after_heads})
        with context.begin_transaction():
            if engine.dialect.name == "postgresql":
                connection.execute(_lock)
            elif not connection.connection.in_transaction:
                # Python's driver does not open transactions for DDL by itself.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection, context
