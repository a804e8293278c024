from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE notes (text TEXT NOT NULL)")
    op.execute("INSERT INTO notes VALUES ('the first')")
