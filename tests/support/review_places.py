"""Create and read annotation queues and datasets of the emulator."""

from __future__ import annotations

import itertools

import requests


class Places:
    """Create and read queues and datasets with a separate HTTP client."""

    def __init__(self, emulator):
        self.emulator = emulator
        self._numbers = itertools.count(1)
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {emulator.api_key}"
        self.space_id = self._get("/v2/spaces")["spaces"][0]["id"]

    def _get(self, path):
        answer = self._session.get(self.emulator.url + path, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path, **body):
        answer = self._session.post(self.emulator.url + path, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def queue(self):
        name = f"review {next(self._numbers)}"
        config = {"name": name, "space_id": self.space_id, "annotation_config_type": "FREEFORM"}
        return self._post(
            "/v2/annotation-queues",
            name=name,
            space_id=self.space_id,
            annotation_config_ids=[self._post("/v2/annotation-configs", **config)["id"]],
            annotator_emails=["a@example.com"],
        )["id"]

    def labelled_queue(self, *labels):
        """Create a queue whose records people label; return its ID and the name of its config."""
        name = f"review {next(self._numbers)}"
        config = self._post(
            "/v2/annotation-configs",
            name=name,
            space_id=self.space_id,
            annotation_config_type="CATEGORICAL",
            values=[{"label": label} for label in labels],
        )
        queue = self._post(
            "/v2/annotation-queues",
            name=name,
            space_id=self.space_id,
            annotation_config_ids=[config["id"]],
            annotator_emails=["a@example.com", "b@example.com"],
        )
        return queue["id"], name

    def dataset(self):
        return self._post(
            "/v2/datasets", name="failures", space_id=self.space_id, examples=[{"question": "theirs"}]
        )["id"]

    def records(self, queue_id):
        return self._listed(f"/v2/annotation-queues/{queue_id}/records", "records")

    def examples(self, dataset_id):
        return self._listed(f"/v2/datasets/{dataset_id}/examples", "examples")

    def _listed(self, path, name):
        found, cursor = [], ""
        while True:
            page = self._get(f"{path}?limit=500{cursor}")
            found += page[name]
            if not page["pagination"]["has_more"]:
                return found
            cursor = f"&cursor={page['pagination']['next_cursor']}"
