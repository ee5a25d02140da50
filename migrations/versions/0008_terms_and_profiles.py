"""On which terms the policy's values are told, and what each unit did lately."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("feedback_policy", schema=None) as batch_op:
        batch_op.add_column(sa.Column("margin", sa.Float(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("maximum", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("window_days", sa.Integer(), server_default="30", nullable=False))
    op.create_table(
        "unit_profile",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.String(length=210), nullable=False),
        sa.Column("merged_into", sa.String(length=210), nullable=True),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("conversion_likelihood", sa.Float(), nullable=True),
        sa.Column("computed_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_unit_profile_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", "unit_id", name=op.f("pk_unit_profile")),
    )
    op.create_index("ix_unit_profile_age", "unit_profile", ["project_id", "computed_at"])
    op.create_index("ix_unit_profile_merged", "unit_profile", ["project_id", "merged_into"])
    op.create_table(
        "profile_cursor",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("link_sequence", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_profile_cursor_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_profile_cursor")),
    )


def downgrade() -> None:
    op.drop_table("profile_cursor")
    op.drop_table("unit_profile")
    with op.batch_alter_table("feedback_policy", schema=None) as batch_op:
        batch_op.drop_column("window_days")
        batch_op.drop_column("maximum")
        batch_op.drop_column("margin")
