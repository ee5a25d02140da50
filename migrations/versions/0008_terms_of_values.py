"""On which terms the policy's values are told: margin, cap and window."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("feedback_policy", schema=None) as batch_op:
        batch_op.add_column(sa.Column("margin", sa.Float(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("maximum", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("window_days", sa.Integer(), server_default="30", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("feedback_policy", schema=None) as batch_op:
        batch_op.drop_column("window_days")
        batch_op.drop_column("maximum")
        batch_op.drop_column("margin")
