"""A Python client for notebooks and scripts: plans, analyses, experiments and results as typed objects.

It brings along nothing of the service but its errors: `pip install` of this package and an URL with a key are enough.
"""

from optimizer.client.connection import Client
from optimizer.client.plans import Plan, PlannedMetric
from optimizer.client.results import Experiment, Metric, Result

__all__ = ["Client", "Experiment", "Metric", "Plan", "PlannedMetric", "Result"]
