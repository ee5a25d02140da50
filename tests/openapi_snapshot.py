"""The API's description as it is committed, so that a change of the contract shows in review: `make openapi`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from optimizer.app import close_app, create_app
from optimizer.settings import Settings

SNAPSHOT = Path("docs/openapi.json")


def description() -> str:
    """Describe the API of an empty service."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), secret_key="for the description only", scheduler=False)
        app = create_app(settings)
        answer = app.test_client().get("/openapi.json")
        close_app(app)
    return json.dumps(answer.json, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(description(), encoding="utf-8")
