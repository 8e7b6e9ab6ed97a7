"""The checks on the table of terms that triggers keep on SQLite: it has each term of each object, and no other."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Table, func, insert, literal, select, true

from backends.storage.checks.check import Check, Mender, Row, RowChecks, is_missing, remove
from backends.storage.tables import documents


def term_checks(terms: Any) -> tuple[RowChecks, RowChecks]:
    """Return the checks on the rows of the table *terms*, and on the objects whose terms it has."""
    term = func.json_each(documents.c.terms).table_valued("value")
    of_document = documents.c.bucket == terms.c.bucket, documents.c.uri == terms.c.uri
    is_held = ~is_missing(term, term.c.value == terms.c.term)
    is_absent = is_missing(terms, *of_document, terms.c.term == term.c.value)

    def add_terms(mender: Mender, row: Row) -> str:
        bucket, uri = row["bucket"], row["uri"]
        of_row = select(literal(bucket), term.c.value, literal(uri)).select_from(documents.join(term, true()))
        rows = of_row.where(documents.c.bucket == bucket, documents.c.uri == uri, is_absent).distinct()
        mender.execute(insert(cast(Table, terms)).from_select(["bucket", "term", "uri"], rows))
        return "terms added"

    is_stale = Check(
        is_missing(documents, *of_document, is_held), "the table of terms has {term}, which the object has not", remove
    )
    lacks = Check(~is_missing(term, is_absent), "the table of terms lacks terms of the object", add_terms)
    return (
        RowChecks(terms, ("bucket", "term", "uri"), "uri", (is_stale,)),
        RowChecks(documents, ("bucket", "uri"), "uri", (lacks,)),
    )
