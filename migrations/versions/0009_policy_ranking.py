"""The ranking that the policy looks at."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policy_ranking",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_policy_ranking_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_policy_ranking")),
    )


def downgrade() -> None:
    op.drop_table("policy_ranking")
