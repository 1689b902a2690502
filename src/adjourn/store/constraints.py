"""Rules that the database itself keeps, whoever writes: table constraints by table."""

CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "asyncoperation": (
        # The state/status pairs of the specification, and no others.
        "CHECK ((statecode = 0 AND statuscode = 0) OR (statecode = 1 AND statuscode = 10)"
        " OR (statecode = 2 AND statuscode IN (20, 21, 22)) OR (statecode = 3 AND statuscode IN (30, 31, 32)))",
        # A CHECK lets null pass.
        "CHECK (statecode IS NOT NULL AND statuscode IS NOT NULL AND operationtype IS NOT NULL)",
        "CHECK ((statecode = 3) = (completedon IS NOT NULL))",
        # A lease exists exactly while a worker holds the job.
        "CHECK ((statecode = 2) = (lease IS NOT NULL))",
        # Blocked: behind an earlier job of its dependency token. Such a job waits, or was canceled while it waited.
        "CHECK (NOT blocked OR statecode IN (1, 3))",
    )
}
