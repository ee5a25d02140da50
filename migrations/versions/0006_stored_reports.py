"""What scheduled jobs found out (audits, models, tables of values), and how likely members are to convert."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stored_report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_stored_report_project_id_project")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_report")),
        sa.UniqueConstraint("project_id", "kind", "number", name=op.f("uq_stored_report_project_id_kind_number")),
    )
    with op.batch_alter_table("segment_member", schema=None) as batch_op:
        batch_op.add_column(sa.Column("conversion_likelihood", sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("segment_member", schema=None) as batch_op:
        batch_op.drop_column("conversion_likelihood")
    op.drop_table("stored_report")
