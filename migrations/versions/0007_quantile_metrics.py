"""Metrics that are a quantile of what each occurrence carries."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("metric", schema=None) as batch_op:
        batch_op.add_column(sa.Column("quantile", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("of", sa.String(length=100), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("metric", schema=None) as batch_op:
        batch_op.drop_column("of")
        batch_op.drop_column("quantile")
