"""Ratios and caps of metrics, results by dimension, and the sums of finished cohorts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "finished_cohort",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("definition", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("sums", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_finished_cohort_experiment_id_experiment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finished_cohort")),
        sa.UniqueConstraint(
            "experiment_id", "definition", "day", name=op.f("uq_finished_cohort_experiment_id_definition_day")
        ),
    )
    with op.batch_alter_table("metric", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cap", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("numerator", sa.String(length=8), nullable=True))
        batch_op.add_column(sa.Column("denominator", sa.String(length=200), nullable=True))
    with op.batch_alter_table("experiment", schema=None) as batch_op:
        batch_op.add_column(sa.Column("look_every", sa.String(length=8), nullable=False, server_default="day"))
    with op.batch_alter_table("experiment_look", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dimension", sa.String(length=200), nullable=False, server_default=""))
        batch_op.drop_constraint("uq_experiment_look_experiment_id_cutoff", type_="unique")
        batch_op.create_unique_constraint(
            "uq_experiment_look_experiment_id_cutoff_dimension", ["experiment_id", "cutoff", "dimension"]
        )


def downgrade() -> None:
    op.execute("DELETE FROM experiment_look WHERE dimension <> ''")
    with op.batch_alter_table("experiment_look", schema=None) as batch_op:
        batch_op.drop_constraint("uq_experiment_look_experiment_id_cutoff_dimension", type_="unique")
        batch_op.create_unique_constraint("uq_experiment_look_experiment_id_cutoff", ["experiment_id", "cutoff"])
        batch_op.drop_column("dimension")
    with op.batch_alter_table("experiment", schema=None) as batch_op:
        batch_op.drop_column("look_every")
    with op.batch_alter_table("metric", schema=None) as batch_op:
        batch_op.drop_column("denominator")
        batch_op.drop_column("numerator")
        batch_op.drop_column("cap")
    op.drop_table("finished_cohort")
