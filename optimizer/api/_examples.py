"""A first body for every route that takes one, for the page at `/docs`.

In this order, on a service that knows nothing, each is taken: what a later one names, an earlier one made.
"""

from __future__ import annotations

from typing import Any

CARTED_NOT_BOUGHT = {
    "all": [{"did": "add_to_cart", "within_days": 30}, {"did_not": "purchase", "since": "add_to_cart"}]
}
EVENTS = {"events": [{"event_id": "f1", "name": "add_to_cart", "user_id": "u1", "value": 19.9}]}
EVALUATION = {"context": {"targetingKey": "u1", "country": "DE"}}
EXAMPLES: dict[str, Any] = {
    "make_project": {"key": "second-shop", "currency": "EUR"},
    "change_project": {"time_zone": "Europe/Berlin"},
    "make_key": {"scope": "ingest", "name": "the shop's tracker"},
    "write_definition": {"kind": "macro", "description": "The order is confirmed."},
    "check_events": EVENTS,
    "store_events": EVENTS,
    "store_counts": {"system": "swetrix", "counts": [{"date": "2026-11-01", "name": "visit", "visitors": 1000}]},
    "recover_events": {"name": "add_to_cart", "unit": "u1"},
    "compute_funnel": {"steps": ["add_to_cart", "purchase"], "window_hours": 24},
    "write_metric": {"type": "count", "event": "add_to_cart", "window_hours": 168},
    "make_plan": {
        "goal": "purchase",
        "proxies": ["add_to_cart"],
        "baselines": {"purchase": 0.02, "add_to_cart": 0.3},
        "daily_visitors": 1500,
    },
    "make_analysis": {
        "method": "fixed",
        "variants": [
            {"key": "no_mail", "visitors": 21306, "conversions": 2262},
            {"key": "mail", "visitors": 21307, "conversions": 3894},
        ],
    },
    "put_holdout": {"share": 0.05},
    "make_experiment": {
        "key": "bigger-button",
        "hypothesis": "A bigger button brings more carts.",
        "variants": [{"key": "control"}, {"key": "treatment"}],
        "primary_metric": "add_to_cart",
        "planned_visitors": 4000,
    },
    "change_experiment": {"allocation": 0.5},
    "start_experiment": {},
    "evaluate_flag": EVALUATION,
    "evaluate_flags": EVALUATION,
    "store_exposures": {
        "exposures": [{"experiment": "bigger-button", "variant": "treatment", "user_id": "u1", "exposure_id": "x1"}]
    },
    "make_note": {"text": "The button was broken on old phones until noon."},
    "stop_experiment": {},
    "roll_out_variant": {"variant": "treatment"},
    "archive_experiment": {},
    "import_past": {
        "experiments": [
            {
                "key": "sticky-bar",
                "metrics": ["add_to_cart", "purchase"],
                "variants": [
                    {"key": "control", "n": 5000, "sums": [1500, 100], "cross_products": [[1500, 95], [95, 100]]},
                    {"key": "sticky", "n": 5000, "sums": [1650, 112], "cross_products": [[1650, 107], [107, 112]]},
                ],
            }
        ]
    },
    "label_past": {"change": "layout"},
    "write_destination": {
        "platform": "meta",
        "account": {"dataset_id": "1234567890"},
        "credentials": {"access_token": "the system user's token"},
        "mode": "test",
    },
    "write_rule": {"event": "add_to_cart", "destinations": ["meta"]},
    "write_policy": {"goal": "purchase", "destinations": ["meta"]},
    "retry_deliveries": {"destination": "meta", "status": "dead"},
    "train_likelihood": {"goal": "purchase", "horizon_days": 7},
    "preview_segment": {"definition": CARTED_NOT_BOUGHT},
    "write_segment": {"name": "Carted, not bought", "definition": CARTED_NOT_BOUGHT},
    "add_suppressions": {"suppressions": [{"user_id": "u1", "reason": "asked for it", "purpose": "email"}]},
    "remove_suppressions": {"suppressions": [{"user_id": "u1", "purpose": "email"}]},
}
