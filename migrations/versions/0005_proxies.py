"""Past experiments as sums, and how often proxies agreed with the goal."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "past_experiment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("change", sa.String(length=100), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("stopped_at", sa.DateTime(), nullable=True),
        sa.Column("stopping_metric", sa.String(length=200), nullable=True),
        sa.Column("stopping_method", sa.String(length=16), nullable=False),
        sa.Column("alpha", sa.Float(), nullable=True),
        sa.Column("planned_visitors", sa.Integer(), nullable=True),
        sa.Column("stopped_early", sa.Boolean(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("arms", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.String(length=500), nullable=False),
        sa.Column("entered_at", sa.DateTime(), nullable=False),
        sa.Column("removed_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_past_experiment_project_id_project")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_experiment")),
        sa.UniqueConstraint("project_id", "key", name=op.f("uq_past_experiment_project_id_key")),
    )
    op.create_table(
        "proxy_verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("variant", sa.String(length=100), nullable=False),
        sa.Column("proxy", sa.String(length=200), nullable=False),
        sa.Column("goal", sa.String(length=200), nullable=False),
        sa.Column("basis", sa.String(length=32), nullable=False),
        sa.Column("proxy_effect", sa.Float(), nullable=False),
        sa.Column("proxy_error", sa.Float(), nullable=False),
        sa.Column("forecast", sa.Float(), nullable=True),
        sa.Column("forecast_low", sa.Float(), nullable=True),
        sa.Column("forecast_high", sa.Float(), nullable=True),
        sa.Column("goal_effect", sa.Float(), nullable=False),
        sa.Column("goal_error", sa.Float(), nullable=False),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("contradicted", sa.Boolean(), nullable=False),
        sa.Column("covered", sa.Boolean(), nullable=True),
        sa.Column("chance", sa.Float(), nullable=True),
        sa.Column("matured_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_proxy_verdict_experiment_id_experiment")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_proxy_verdict_project_id_project")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proxy_verdict")),
        sa.UniqueConstraint("experiment_id", "variant", name=op.f("uq_proxy_verdict_experiment_id_variant")),
    )
    with op.batch_alter_table("proxy_verdict", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_proxy_verdict_project_id"), ["project_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("proxy_verdict", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_proxy_verdict_project_id"))

    op.drop_table("proxy_verdict")
    op.drop_table("past_experiment")
