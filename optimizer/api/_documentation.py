"""The OpenAPI 3.1 document and the readable page at `/docs`, both from the code that validates.

The page's assets come with a package, not from a CDN: the service must be readable where it runs, also offline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from apiflask import APIFlask
from flask_swagger_ui import get_swaggerui_blueprint
from pydantic import BaseModel

from optimizer.api._auth import NEEDED_SCOPE
from optimizer.api._bodies import DECODED_BODY, OPTIONAL_BODY
from optimizer.api._examples import EXAMPLES
from optimizer.api._forms import MEDIA_TYPES
from optimizer.api._problems import ProblemDocument, Refusal

METHODS = {"get", "put", "post", "patch", "delete"}
DESCRIPTION = """
Turns micro conversions into four decisions: which predict the purchase, which can stand in for it in an A/B test,
which the ad platforms should learn from, whom to bring back.

Send `Authorization: Bearer <key>` with every call. Errors are `application/problem+json` (RFC 9457).
"""


def install(app: APIFlask) -> None:
    """Describe the API and serve the page."""
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        DESCRIPTION=DESCRIPTION.strip(),
        VALIDATION_ERROR_DESCRIPTION="Invalid input: `errors` names each faulty field",
        SERVERS=[{"url": "/"}],
        LICENSE={"name": "MIT", "identifier": "MIT"},
    )
    app.security_schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A key of one project; it has one scope."}
    }
    app.spec_processor(lambda spec: _completed(app, spec))
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


def _completed(app: APIFlask, spec: Any) -> Any:  # noqa: ANN401 - a document
    spec = _with_bodies(app, _with_views(app, _with_tags(spec)))
    return _with_each_once(_with_forms(_with_refusals(spec)))


def _with_views(app: APIFlask, spec: Any) -> Any:  # noqa: ANN401 - a document
    for name, view, operation in _views(app, spec):
        operation["operationId"] = name
        scope = getattr(view, NEEDED_SCOPE, None)
        if scope is not None:
            needs = f"Takes a key with the scope `{scope}`."
            operation["description"] = f"{operation.get('description', '')} {needs}".strip()
    return spec


def _with_bodies(app: APIFlask, spec: Any) -> Any:  # noqa: ANN401 - a document
    for name, view, operation in _views(app, spec):
        decoded = getattr(view, DECODED_BODY, None)
        if decoded is not None:
            (schema,), parts = msgspec.json.schema_components([decoded], ref_template="#/components/schemas/{name}")
            operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
            _add(spec["components"]["schemas"], parts)
        if "requestBody" in operation:
            operation["requestBody"]["required"] = not getattr(view, OPTIONAL_BODY, False)
            operation["requestBody"]["content"]["application/json"]["example"] = EXAMPLES[name]
    return spec


def _with_tags(spec: Any) -> Any:  # noqa: ANN401 - a document
    spec["tags"] = list({tag["name"]: tag for tag in spec["tags"]}.values())  # several files share one
    return spec


def _with_refusals(spec: Any) -> Any:  # noqa: ANN401 - a document
    # Any route may refuse with more than the statuses it names: a body that cannot be read, a store that is busy.
    schemas = spec["components"]["schemas"]
    for generated in ("HTTPError", "ValidationError"):
        schemas.pop(generated, None)
    for model in (ProblemDocument, Refusal):
        _add(schemas, _schemas(model))
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    for path, operation in _operations(spec):
        operation["responses"].setdefault("default", {"description": "Refused; the body says why"})
        for status, response in operation["responses"].items():
            if not status.startswith(("2", "3")):
                response["content"] = refusal if path.startswith("/ofrep/") else problem
    return spec


def _with_forms(spec: Any) -> Any:  # noqa: ANN401 - a document
    for _, operation in _operations(spec):
        asked = [one["schema"] for one in operation.get("parameters", ()) if one["name"] == "format"]
        forms = [form for schema in asked for way in schema["anyOf"] for form in way.get("enum", ())]
        for form in set(forms) - {"json"}:
            text = {} if form == "vega" else {"type": "string"}
            operation["responses"]["200"]["content"][MEDIA_TYPES[form]] = {"schema": text}
    return spec


def _with_each_once(spec: Any) -> Any:  # noqa: ANN401 - a document
    # A nested model is described under each parent, as `Parent.Child`: a client made from that would have many twins.
    spec = json.loads(re.sub(r'"(#/components/schemas/)\w+\.', r'"\1', json.dumps(spec)))
    once: dict[str, Any] = {}
    for name, schema in spec["components"]["schemas"].items():
        _add(once, {name.rpartition(".")[2]: schema})
    spec["components"]["schemas"] = once
    return spec


def _add(schemas: dict[str, Any], more: dict[str, Any]) -> None:
    for name, schema in more.items():
        if schemas.setdefault(name, schema) != schema:
            msg = f"Two different models of the API are called {name}: its description needs a name for each"
            raise ValueError(msg)


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _operations(spec: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a document
    for path, described in spec["paths"].items():
        yield from ((path, operation) for method, operation in described.items() if method in METHODS)


def _views(app: APIFlask, spec: Any) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401 - a document
    for rule in app.url_map.iter_rules():
        described = spec["paths"].get(re.sub(r"<(\w+)>", r"{\1}", rule.rule), {})
        view, name = app.view_functions[rule.endpoint], rule.endpoint.rpartition(".")[2]
        for method in described.keys() & {method.lower() for method in rule.methods or ()}:
            yield name, view, described[method]
