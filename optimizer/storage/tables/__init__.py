"""Every control-plane table; importing this module is what makes the metadata complete."""

from optimizer.storage.tables.catalog import (
    ContactRecord,
    CookielessSalt,
    EventDefinition,
    EventSpelling,
    MatchDataRecord,
    Rejection,
)
from optimizer.storage.tables.experiments import (
    Assignment,
    Experiment,
    ExperimentLogEntry,
    ExperimentLook,
    ExperimentNote,
    FinishedCohort,
    Holdout,
    Metric,
)
from optimizer.storage.tables.feedback import (
    DeliveryRecord,
    DeliveryTransition,
    DestinationRecord,
    FeedbackCursor,
    FeedbackPolicy,
    PolicyChoice,
    PolicyRanking,
    SignalRule,
)
from optimizer.storage.tables.projects import ApiKey, IdempotentAnswer, InstanceFact, JobRun, JobSlot, Project
from optimizer.storage.tables.proxies import PastExperiment, ProxyVerdict
from optimizer.storage.tables.reports import StoredReport
from optimizer.storage.tables.segments import (
    ProfileCursor,
    Segment,
    SegmentChange,
    SegmentMember,
    Suppression,
    UnitProfile,
)

__all__ = [
    "ApiKey",
    "Assignment",
    "ContactRecord",
    "CookielessSalt",
    "DeliveryRecord",
    "DeliveryTransition",
    "DestinationRecord",
    "EventDefinition",
    "EventSpelling",
    "Experiment",
    "ExperimentLogEntry",
    "ExperimentLook",
    "ExperimentNote",
    "FeedbackCursor",
    "FeedbackPolicy",
    "FinishedCohort",
    "Holdout",
    "IdempotentAnswer",
    "InstanceFact",
    "JobRun",
    "JobSlot",
    "MatchDataRecord",
    "Metric",
    "PastExperiment",
    "PolicyChoice",
    "PolicyRanking",
    "ProfileCursor",
    "Project",
    "ProxyVerdict",
    "Rejection",
    "Segment",
    "SegmentChange",
    "SegmentMember",
    "SignalRule",
    "StoredReport",
    "Suppression",
    "UnitProfile",
]
