"""Alembic's entry: versions make tables; sql/ (functions, views, seeds) is laid over them in the same transaction.

`llmreq migrate` calls this with a connection; `alembic upgrade head` works too, with LLMREQ_DATABASE_URL set.
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import context

from llmreq.database.connection import sqlalchemy_url
from llmreq.database.install import install_base, install_rest, lock_schema
from llmreq.database.schema import metadata


def run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        lock_schema(connection)
        install_base(connection)
        context.run_migrations()
        install_rest(connection)


given: sa.Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = sa.create_engine(sqlalchemy_url(os.environ["LLMREQ_DATABASE_URL"]), poolclass=sa.pool.NullPool)
    with engine.connect() as opened:
        run(opened)
