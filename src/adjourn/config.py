"""Names, limits and defaults in one place: each has a unit and a reason.

Nothing here reads a file; `adjourn serve` fills a `Settings` from its options and the environment.
"""

from __future__ import annotations

from dataclasses import dataclass

ORGANIZATION_VERSION = "9.2.0.0"
"""What clients that ask for a version get: that of the API served."""
API_VERSION = "v9.2"
DEFAULT_DATABASE = "sqlite:///var/adjourn.db"
DEFAULT_HTTP = "127.0.0.1:8080"

# Well-known records. Fixed, so that every host and every fresh database agree on them.
ORGANIZATION_ID = "0ad10000-0000-7000-8000-000000000001"
ROOT_BUSINESS_UNIT_ID = "0ad10000-0000-7000-8000-000000000002"
SYSTEM_USER_ID = "0ad10000-0000-7000-8000-000000000003"
"""systemuser SYSTEM: owner of platform jobs and the modifiedby of every settle."""
ADMIN_USER_ID = "0ad10000-0000-7000-8000-000000000004"
"""The system administrator: whoever holds ADJOURN_ADMIN_TOKEN."""
ADMIN_ROLE_ID = "0ad10000-0000-7000-8000-000000000005"
"""The stock role System Administrator."""
BASIC_USER_ROLE_ID = "0ad10000-0000-7000-8000-000000000006"
"""The stock role Basic User."""

# Data (specification, "Queries for file storage"; semantics §3)
DATA_INLINE_BYTES_MAX = 4_194_304
"""`data` longer than this (bytes of UTF-8) goes to file storage."""
DATA_BYTES_MAX = 128_000 * 1024
"""The file column's own limit; a context larger than this is refused."""
FILE_CHUNK_BYTES = 256 * 1024
"""PostgreSQL keeps a file in rows of this size, so that no row is large."""

# Pipeline (semantics §4, §5)
DEPTH_MAX = 8
DEPTH_WINDOW_SECONDS = 3600
STEP_SLOW_SECONDS = 0.05
"""A unit that holds the SQLite writer longer than this is counted and logged with the step's name."""
TURN_SECONDS_MAX_SQLITE = 5.0
TURN_SECONDS_MAX_POSTGRES = 120.0
TURN_WAIT_SECONDS_MAX = 30.0
"""How long one process waits for another's turn before 503."""

# Writer (mechanisms §3)
WRITE_QUEUE_UNITS_MAX = 4096
GROUP_UNITS_MAX = 256
GROUP_SECONDS_MAX = 0.005

# Jobs (design §9)
JOB_SECONDS_MAX = 120.0
AWAIT_GRACE_SECONDS = 1.0
"""How long an `async def` handler that was asked to pause has for its next checkpoint, before it is stopped where it awaits."""
JOB_GRACE_SECONDS = 2.0
"""How long a handler that was asked to stop has for it, before its own process is ended. Longer than the grace of an await,
which must have been tried by then."""
JOB_MEMORY_BYTES_MAX = 1024 * 1024 * 1024
"""Of an executor process that runs one isolated job; more is taken for a fault, and costs the job, not the machine."""
RETRY_FIRST_SECONDS = 10.0
RETRY_LONGEST_SECONDS = 3600.0
RETRY_JITTER = 0.10
CRASHES_MAX = 3
ENQUEUE_MANY_MAX = 10_000
CONCURRENCY_DEFAULT = 8
PROCESSES_DEFAULT = 1
SWEEP_SECONDS = 3.0
"""How often a claim starts from the very beginning instead of the remembered sequence."""
POLL_SECONDS = 1.0
"""Polling is the ground truth; wake-ups only make it faster."""
WORKER_STALE_SECONDS = 4.0
BEAT_SECONDS = 1.0

# Requests
READ_SECONDS_MAX = 120.0
"""A question that takes longer is ended, as Dataverse ends it; nobody's question may hold a thread for ever."""
FILE_PIECE_BYTES = 4 * 1024 * 1024
"""Files of columns lie in pieces of this size, which is also what clients are told to send and to fetch at a time."""
FILE_BLOCKS_MAX = 50_000
UPLOAD_SECONDS_MAX = 86_400
"""An upload that nobody went on with for so long is forgotten."""
BODY_BYTES_MAX = 64 * 1024 * 1024
NESTING_MAX = 64
BATCH_REQUESTS_MAX = 1000
PAGE_ROWS_MAX = 5000
CONDITIONS_MAX = 500
LINKS_MAX = 15
EXPANDS_MAX = 15
URL_CHARACTERS_MAX = 32_768


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process was started with."""

    database: str = DEFAULT_DATABASE
    http: str = DEFAULT_HTTP
    processes: int = PROCESSES_DEFAULT
    concurrency: int = CONCURRENCY_DEFAULT
    plugins: tuple[str, ...] = ()
    demo: bool = False
