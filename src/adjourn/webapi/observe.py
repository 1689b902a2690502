"""What the service tells about itself: `/healthz`, `/readyz`, `/metrics`, and a page at `/`.

healthz: the process answers. readyz: it can read its database; with a token also which kind it is and its time; to who may read
every job also what holds the writer's turn, which may bear the name of a job. Neither shows anything to somebody without a token.
"""

from __future__ import annotations

from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from adjourn import config
from adjourn.errors import PrivilegeDenied
from adjourn.pipeline import system_jobs
from adjourn.pipeline.call import Call
from adjourn.query.security import Caller
from adjourn.query.tree import Attribute, Query
from adjourn.service import Service
from adjourn.webapi.exchange import Answer, json_answer

log = structlog.get_logger("adjourn.webapi")
_METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>adjourn</title></head>
<body><h1>adjourn</h1>
<p>The asynchronous service of Microsoft Dataverse, self-hosted. The Web API is at
<a href="/api/data/{config.API_VERSION}/">/api/data/{config.API_VERSION}/</a>; send the token as
<code>Authorization: Bearer …</code>.</p>
<p><code>GET /api/data/{config.API_VERSION}/asyncoperations?$top=10&amp;$orderby=createdon desc</code></p>
<p>Health: <a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a>. Metrics: /metrics.</p>
</body></html>
"""


class Metrics:
    """Prometheus metrics of one application; several in one process do not disturb each other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "adjourn_http_requests_total", "Requests answered", ("method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "adjourn_http_request_seconds", "Time to an answer", ("method",), buckets=_BUCKETS, registry=self._registry
        )
        self._jobs = Gauge(
            "adjourn_jobs", "System jobs", ("statecode", "statuscode", "operationtype"), registry=self._registry
        )

        self._kept: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, status: int, seconds: float) -> None:
        found = self._kept.get((method, status))
        if found is None:
            known = method if method in _METHODS else "other"
            found = (self._requests.labels(known, str(status)), self._seconds.labels(known))
            if known != "other":  # a client can make up any number of others
                self._kept[method, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def answer(self, caller: Caller) -> Answer:
        """All of it in Prometheus' text format. Raises PrivilegeDenied for a caller who may not read every job."""
        if not system_jobs.are_all_read_by(caller):
            raise PrivilegeDenied(
                f"Metrics count everybody's jobs: they take {system_jobs.READ_PRIVILEGE} at depth Global."
            )
        self._count_jobs()
        return Answer(200, generate_latest(self._registry), (), CONTENT_TYPE_LATEST)

    def _count_jobs(self) -> None:
        keys = ("statecode", "statuscode", "operationtype")
        columns = (
            *(Attribute(key, groupby=True) for key in keys),
            Attribute("asyncoperationid", alias="jobs", aggregate="count"),
        )
        query = Query("asyncoperation", columns, aggregate=True)
        rows = self._service.retrieve_multiple(query, Call(caller=self._service.administrator()))
        places = {output.key: output.index for output in rows.plan.outputs}
        self._jobs.clear()
        for row in rows.rows:
            self._jobs.labels(*(str(row[places[key]]) for key in keys)).set(row[places["jobs"]])


def ready(service: Service, caller: Caller | None) -> Answer:
    """Whether the database can be read; to somebody admitted also which one, and to who may read every job what holds its writer."""
    try:
        with service.store.read() as reader:
            found: dict[str, Any] = {"status": "ready"}
            if caller is not None:
                found |= {"database": reader.dialect, "now": reader.now}
                if system_jobs.are_all_read_by(caller):
                    found["turn"] = service.store.holder()
    except Exception:
        log.exception("the database cannot be read")
        return json_answer(503, {"status": "not ready"})
    return json_answer(200, found)
