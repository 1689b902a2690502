"""The SQL of the stores' own tables: migrations, files, workers. Both databases, one text each."""

from __future__ import annotations

MIGRATION_TABLE = (
    "CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, "
    "appliedon text NOT NULL)"
)
MIGRATIONS = "SELECT number, name, checksum FROM migration"
MIGRATED = "INSERT INTO migration (number, name, checksum, appliedon) VALUES (:number, :name, :checksum, :now)"

SQLITE_COLUMNS = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'"
POSTGRES_COLUMNS = (
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
)

# Which of these files a record mentions.
SQLITE_KNOWN_FILES = (
    "SELECT fileattachmentid FROM fileattachment WHERE fileattachmentid IN (SELECT value FROM json_each(:ids)) "
    "UNION ALL SELECT pieceid FROM filepiece WHERE pieceid IN (SELECT value FROM json_each(:ids))"
)
# Uploads that nobody went on with, and pieces of files that are no more.
UPLOADS_EXPIRED = "DELETE FROM fileupload WHERE touchedon < :before"
PIECES_FORGOTTEN = (
    "DELETE FROM filepiece WHERE NOT EXISTS (SELECT 1 FROM fileattachment f WHERE f.fileattachmentid = filepiece.fileid) "
    "AND NOT EXISTS (SELECT 1 FROM fileupload u WHERE u.fileuploadid = filepiece.fileid)"
)

# PostgreSQL: one host migrates while the others wait here. The number is an arbitrary constant of ours.
MIGRATION_LOCK = "SELECT pg_advisory_xact_lock(4700001)"

# PostgreSQL: files in pieces.
CHUNK_WRITE = "INSERT INTO filechunk (fileattachmentid, ordinal, content) VALUES (:id::uuid, :ordinal, :content)"
CHUNK_READ = "SELECT content FROM filechunk WHERE fileattachmentid = :id::uuid AND ordinal BETWEEN :low AND :high ORDER BY ordinal"
CHUNKS_THERE = "SELECT fileattachmentid FROM filechunk WHERE fileattachmentid = ANY(:ids::uuid[]) AND ordinal = 0"
CHUNK_DELETE = "DELETE FROM filechunk WHERE fileattachmentid = ANY(:ids::uuid[])"
CHUNK_SWEEP = (
    "DELETE FROM filechunk c WHERE NOT EXISTS "
    "(SELECT 1 FROM fileattachment f WHERE f.fileattachmentid = c.fileattachmentid) AND NOT EXISTS "
    "(SELECT 1 FROM filepiece p WHERE p.pieceid = c.fileattachmentid) RETURNING c.ordinal"
)

# PostgreSQL: workers by the database's own clock.
WORKER_HOLD = "INSERT INTO worker (id, host, pid, beaton) VALUES (:id::uuid, :host, :pid, clock_timestamp())"
WORKER_BEAT = "UPDATE worker SET beaton = clock_timestamp() WHERE id = :id::uuid"
WORKER_SIGNS = "SELECT host, pid, beaton FROM worker WHERE id = :id::uuid"
WORKER_RELEASE = "DELETE FROM worker WHERE id = :id::uuid"
WORKER_FORGET = f"{WORKER_RELEASE} AND beaton < clock_timestamp() - make_interval(secs => :stale)"
WORKER_DEAD = "SELECT id FROM worker WHERE beaton < clock_timestamp() - make_interval(secs => :stale) ORDER BY id"
WORKER_LIVING = (
    "SELECT id FROM worker WHERE (:ids::uuid[] IS NULL OR id = ANY(:ids::uuid[])) "
    "AND beaton >= clock_timestamp() - make_interval(secs => :stale)"
)

# PostgreSQL: wake supervisors on other hosts.
NOTIFY = "SELECT pg_notify(:channel, :sender)"

# PostgreSQL: what the database takes up on its disk.
DATABASE_SIZE = "SELECT pg_database_size(current_database())"
