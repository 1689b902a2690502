-- Runs of a schedule never overlap: at most one of them is open.
DROP INDEX job_schedule;;
CREATE UNIQUE INDEX job_one_run ON asyncoperation (scheduleid) WHERE scheduleid IS NOT NULL AND statecode < 3;;
