"""One database per test worker, put back into its first state after each test.

Cloning the template costs a copy of some two thousand files. Instead, what a test wrote is deleted and the template's
own rows are put back; only a test that changed the schema or a right costs a new clone.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

LARGE = 64 * 1024
"""Bytes above which a table is truncated: DELETE is the quicker way for a few rows, and slower for many."""

SHAPE = """
-- tests: a fingerprint of schemas, tables, columns, rights, functions, policies and triggers
SELECT md5(concat(
    (SELECT string_agg(n.nspname || COALESCE(n.nspacl::text, ''), ',' ORDER BY n.nspname) FROM pg_namespace n
     WHERE n.nspname !~ '^pg_'),
    (SELECT string_agg(c.oid || c.relname || COALESCE(c.relacl::text, '') || c.relrowsecurity || c.relnatts
                       || c.relchecks || c.relhastriggers, ',' ORDER BY c.oid)
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND c.relkind <> 'i'),
    (SELECT count(*) || '/' || sum(i.indrelid::bigint) FROM pg_index i),
    (SELECT count(*) || md5(string_agg(a.attacl::text || a.attname, ',' ORDER BY a.attrelid, a.attnum))
     FROM pg_attribute a WHERE a.attacl IS NOT NULL),
    (SELECT string_agg(p.oid || md5(p.prosrc), ',' ORDER BY p.oid) FROM pg_proc p
     JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
    (SELECT string_agg(t.oid::text || t.tgenabled::text, ',' ORDER BY t.oid) FROM pg_trigger t),
    (SELECT string_agg(o.oid::text, ',' ORDER BY o.oid) FROM pg_policy o),
    (SELECT string_agg(e.oid::text, ',' ORDER BY e.oid) FROM pg_enum e)))
"""
TABLES = """
-- tests: every table that can hold rows, partitions one by one
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2
"""

_numbers = itertools.count(1)


class PooledDatabase:
    """A clone of the template that tests use one after the other."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._name: str | None = None
        self._conn: psycopg.Connection[Any] | None = None
        self._writer: psycopg.Connection[Any] | None = None
        self._shape = ""
        self._filled = b""
        self._kept: list[tuple[sql.Identifier, sql.Identifier]] = []

    @contextmanager
    def use(self) -> Iterator[str]:
        """URL of the database in its first state; put back, or thrown away, at the end."""
        yield self._open()
        if not self._put_back():
            self.drop()

    def _open(self) -> str:
        if self._name is None:
            self._name = f"cgk_test_{os.getpid()}_{next(_numbers)}"
            with psycopg.connect(self._server_url, autocommit=True) as admin:
                admin.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                        sql.Identifier(self._name), sql.Identifier(self._template)
                    )
                )
            self._conn = psycopg.connect(self._url(), autocommit=True)
            # Without triggers and foreign keys, so that the order of the tables does not matter. A connection of its
            # own: changing the role forgets all plans, and looking through all tables is mostly planning.
            options = "-c session_replication_role=replica -c lock_timeout=2s"
            self._writer = psycopg.connect(self._url(), autocommit=True, options=options)
            self._remember(self._conn, self._writer)
        return self._url()

    def _url(self) -> str:
        return psycopg.conninfo.make_conninfo(self._server_url, dbname=self._name)

    def _remember(self, conn: psycopg.Connection[Any], writer: psycopg.Connection[Any]) -> None:
        """Keep the template's own rows in temporary tables, and a query that names the tables with rows."""
        tables = [sql.Identifier(*row) for row in conn.execute(TABLES).fetchall()]
        parts = [
            sql.SQL("SELECT {n}, pg_relation_size({name}::regclass) WHERE EXISTS (SELECT FROM {table})").format(
                n=sql.Literal(n), name=sql.Literal(table.as_string(conn)), table=table
            )
            for n, table in enumerate(tables)
        ]
        self._tables = tables
        self._filled = sql.SQL(" UNION ALL ").join(parts).as_bytes(conn)
        self._kept = []
        for n, _ in conn.execute(self._filled).fetchall():
            copy = sql.Identifier(f"kept_{n}")
            writer.execute(sql.SQL("CREATE TEMPORARY TABLE {} AS TABLE {}").format(copy, tables[n]))
            self._kept.append((tables[n], copy))
        self._shape = self._fingerprint(conn)

    def _fingerprint(self, conn: psycopg.Connection[Any]) -> str:
        row = conn.execute(SHAPE).fetchone()
        assert row is not None
        return str(row[0])

    def _put_back(self) -> bool:
        """Whether the database is in its first state again."""
        conn, writer = self._conn, self._writer
        if conn is None or writer is None or conn.closed or writer.closed:
            return False
        try:
            if self._fingerprint(conn) != self._shape:
                return False
            filled = conn.execute(self._filled, prepare=True).fetchall()
            with writer.transaction():
                for n, size in filled:
                    way = "TRUNCATE {} CASCADE" if size > LARGE else "DELETE FROM {}"
                    writer.execute(sql.SQL(way).format(self._tables[n]))
                for table, copy in self._kept:
                    writer.execute(sql.SQL("DELETE FROM {table}").format(table=table))
                    writer.execute(sql.SQL("INSERT INTO {table} SELECT * FROM {copy}").format(table=table, copy=copy))
        except psycopg.Error:
            return False
        return True

    def drop(self) -> None:
        """Throw the database away; the next use makes a new one."""
        for conn in (self._conn, self._writer):
            if conn is not None:
                conn.close()
        if self._name is not None:
            with psycopg.connect(self._server_url, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._name)))
        self._name = self._conn = self._writer = None
