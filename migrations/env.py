"""Run the migrations on the connection that repzone.store.engine hands over: there is no other way in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
