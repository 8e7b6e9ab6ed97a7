"""Run the steps of the folder `versions` of a schema with Alembic, one transaction each, one process at a time.

A step that cannot run in a transaction (`CREATE INDEX CONCURRENTLY`) opens `op.get_context().autocommit_block()`. That
releases the lock, so such a statement stands alone in its file and is created with `if_not_exists`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from backends.storage.migrations import CORE, Schema, SchemaError, installed_version
from backends.storage.migrations.narration import MigrationPlan, Narration, Step
from backends.storage.migrations.preconditions import check

_LOCK_KEY: Final = 0x6B696E746F
"""The key of the advisory lock: the letters of "kinto" as a number."""

_lock = select(func.pg_advisory_xact_lock(_LOCK_KEY))


def upgrade(
    engine: Engine,
    report: Callable[[str], None],
    schema: Schema,
    turn: Callable[[], AbstractContextManager[Any]],
    *,
    dry_run: bool,
) -> None:
    """Run the missing steps of *schema*; the other arguments as in `backends.storage.migrations.migrate`.

    The missing steps are determined again before each step, under the lock: another process may have run it meanwhile.
    """
    steps = _Steps(schema)
    narration = Narration(engine.dialect.name, report, dry_run, schema)
    if dry_run:
        with engine.connect() as connection:
            first = _plan(connection, steps, narration)
        narration.begin(first)
        for step in first.missing:
            narration.step(first, step)
        narration.end(first)
        return
    with turn():
        first = _run_next(engine, steps, narration, None)
        for _ in first.missing[1:]:
            _run_next(engine, steps, narration, first)
    narration.end(first)


def script(dialect_name: str, since: str | None, schema: Schema) -> str:
    """Return the SQL of the steps of *schema* after version *since*."""
    steps = _Steps(schema)
    output = io.StringIO()
    options = {"as_sql": True, "output_buffer": output, "starting_rev": since}
    context = MigrationContext.configure(dialect_name=dialect_name, opts=steps.options | options)
    with Operations.context(context), context.begin_transaction():
        context.run_migrations()
    return output.getvalue()


class _Steps:
    """The files of a schema's folder, in their order; `options` are those of Alembic."""

    def __init__(self, schema: Schema) -> None:
        folder = schema.versions
        directory = ScriptDirectory(str(folder.parent), version_locations=[str(folder)])
        self.options: dict[str, Any] = {
            "version_table": schema.version_table,
            "transactional_ddl": True,
            "fn": self.after_heads,
        }
        self._name = schema.names[0]
        self._scripts = _load_scripts(directory, schema)
        self._map = directory.revision_map
        self.all = tuple(Step(script.revision, Path(script.path)) for script in self._scripts)

    def after_heads(self, heads: Sequence[str], context: MigrationContext) -> list[RevisionStep]:
        """Return, for Alembic, the steps after the version in *heads*: all of them for SQL as text, else one."""
        position = next((at for at, step in enumerate(self.all, 1) if step.version in heads), 0)
        missing = [self._as_step(script) for script in self._scripts[position:]]
        return missing if context.as_sql else missing[:1]

    def _as_step(self, script: Script) -> RevisionStep:
        step = RevisionStep(self._map, script, is_upgrade=True)
        step.migration_fn = _naming(f"{script.path} of {self._name}", step.migration_fn)
        return step


def _naming(step: str, upgrade: Callable[..., None]) -> Callable[..., None]:
    """Return a step that raises SchemaError with its name for any error: it may be the code of a plugin."""

    @wraps(upgrade)
    def run(**options: Any) -> None:
        try:
            upgrade(**options)
        except Exception as error:
            cause = error.orig if isinstance(error, DBAPIError) else error  # the rest is the statement and its values
            raise SchemaError(f"The step {step} failed ({type(cause).__name__}: {cause}).") from error

    return run


def _load_scripts(directory: ScriptDirectory, schema: Schema) -> tuple[Script, ...]:
    """Return the files of a folder as one chain. Raises SchemaError for a file that is no step, or not the next one."""
    try:
        scripts = tuple(reversed(list(directory.walk_revisions())))
    except Exception as error:  # a file of a plugin may raise anything when it is imported
        raise SchemaError(
            f"The folder {schema.versions} of {schema.names[0]} has a file that is no step: {error}"
        ) from error
    previous = None
    for script in scripts:
        is_next = (script.revision, script.down_revision) == (Path(script.path).stem.partition("_")[0], previous)
        if not is_next or not hasattr(script.module, "upgrade"):
            raise SchemaError(
                f"The file {script.path} of {schema.names[0]} is not the next step: it needs upgrade(), "
                f"down_revision {previous!r}, and the revision that its name begins with."
            )
        previous = script.revision
    return scripts


def _plan(connection: Connection, steps: _Steps, narration: Narration) -> MigrationPlan:
    """Compare the database with the files. Raises SchemaError when it holds other data or a newer schema."""
    installed = installed_version(connection, narration.schema)
    if installed is None:
        if narration.schema.version_table == CORE.version_table:
            check(connection, narration.report)
        return MigrationPlan(None, steps.all)
    versions = [step.version for step in steps.all]
    if installed not in versions:
        narration.refuse_newer(installed, versions[-1])
    return MigrationPlan(installed, steps.all[versions.index(installed) + 1 :])


def _run_next(engine: Engine, steps: _Steps, narration: Narration, first: MigrationPlan | None) -> MigrationPlan:
    """Run one step, if any is missing, and return the plan before it; without *first*, report that plan too."""
    with _lock_schema(engine, steps) as (connection, context):
        plan = _plan(connection, steps, narration)
        if first is None:
            narration.begin(plan)
        if plan.missing:
            narration.step(first or plan, plan.missing[0])
            with Operations.context(context):
                context.run_migrations()
    return plan


@contextmanager
def migrating(
    engine: Engine, report: Callable[[str], None], schema: Schema, *, dry_run: bool
) -> Iterator[tuple[Connection, Callable[[], None]]]:
    """Open a transaction during which no other process migrates this database.

    Yield its connection, and a function that runs all steps from the beginning in this one transaction.
    """
    steps = _Steps(schema)
    narration = Narration(engine.dialect.name, report, dry_run, schema)
    with _lock_schema(engine, steps) as (connection, context):

        def create() -> None:
            plan = MigrationPlan(None, steps.all)
            narration.begin(plan)
            if not dry_run:
                with Operations.context(context):
                    for _ in steps.all:
                        context.run_migrations()
            narration.end(plan)

        yield connection, create


@contextmanager
def _lock_schema(engine: Engine, steps: _Steps) -> Iterator[tuple[Connection, MigrationContext]]:
    """Open a transaction during which no other process migrates this database.

    It is a transaction of Alembic, since `autocommit_block` can suspend no other.
    """
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=steps.options)
        with context.begin_transaction():
            if engine.dialect.name == "postgresql":
                connection.execute(_lock)
            elif not connection.connection.in_transaction:
                # Python's driver does not open a transaction for DDL by itself.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection, context
