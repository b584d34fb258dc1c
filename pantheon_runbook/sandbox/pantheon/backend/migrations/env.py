"""Migrations run with the environment's own DATABASE_URL, each revision in a transaction of its own."""

from __future__ import annotations

import os

import sqlalchemy
from alembic import context


def database_url() -> sqlalchemy.URL:
    """DATABASE_URL for SQLAlchemy's psycopg dialect."""
    return sqlalchemy.make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")


def run_online() -> None:
    engine = sqlalchemy.create_engine(database_url(), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def run_offline() -> None:
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
