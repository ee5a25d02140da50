"""The OpenAPI 3.1 document and the readable page at `/docs`, both from the code that validates.

The page's assets come with a package, not from a CDN: the service must be readable where it runs, also offline.
"""

from __future__ import annotations

import re
from typing import Any

from apiflask import APIFlask
from flask_swagger_ui import get_swaggerui_blueprint

from optimizer.api._auth import NEEDED_SCOPE
from optimizer.api._problems import ProblemDocument

DESCRIPTION = """
Turns micro conversions into four decisions: which predict the purchase, which can stand in for it in an A/B test,
which the ad platforms should learn from, whom to bring back.

Send `Authorization: Bearer <key>` with every call. Errors are `application/problem+json` (RFC 9457).
"""


def install(app: APIFlask) -> None:
    """Describe the API and serve the page."""
    problem = ProblemDocument.model_json_schema()
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        DESCRIPTION=DESCRIPTION.strip(),
        HTTP_ERROR_SCHEMA=problem,
        VALIDATION_ERROR_SCHEMA=problem,
        VALIDATION_ERROR_DESCRIPTION="Invalid input: `errors` names each faulty field",
        AUTO_OPERATION_ID=True,
        SERVERS=[{"url": "/"}],
        LICENSE={"name": "MIT", "identifier": "MIT"},
    )
    app.security_schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A key of one project; it has one scope."}
    }
    app.spec_processor(lambda spec: _with_scopes(app, spec))
    page = get_swaggerui_blueprint(
        "/docs",
        "/openapi.json",
        config={
            "app_name": "optimizer",
            "tryItOutEnabled": True,
            "persistAuthorization": False,
            "validatorUrl": None,
        },
        blueprint_name="docs",
    )
    app.register_blueprint(page)


def _with_scopes(app: APIFlask, spec: Any) -> Any:  # noqa: ANN401 - a document
    for rule in app.url_map.iter_rules():
        scope = getattr(app.view_functions[rule.endpoint], NEEDED_SCOPE, None)
        if scope is None:
            continue
        described = spec["paths"][re.sub(r"<(\w+)>", r"{\1}", rule.rule)]
        for method in {"GET", "PUT", "POST", "PATCH", "DELETE"} & (rule.methods or set()):
            operation = described[method.lower()]
            needs = f"Takes a key with the scope `{scope}`."
            operation["description"] = f"{operation.get('description', '')} {needs}".strip()
    return spec
