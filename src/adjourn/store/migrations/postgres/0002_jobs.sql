-- Indexes of the job table. Full ones: the key, the sequence, the time; each partial one names its query.
-- claim: Ready jobs of a type in the order of sequence
CREATE INDEX job_ready ON asyncoperation (operationtype, sequence) WHERE statecode = 0;;
-- promote_due: postponed jobs by their moment
CREATE INDEX job_due ON asyncoperation (postponeuntil) WHERE statecode = 1 AND postponeuntil IS NOT NULL AND NOT blocked;;
-- interrupts, rescue: what a worker holds
CREATE INDEX job_locked ON asyncoperation (worker, statuscode) WHERE statecode = 2;;
-- at most one head per serial key, and the queue behind it
CREATE UNIQUE INDEX job_one_head ON asyncoperation (serialkey) WHERE serialkey IS NOT NULL AND NOT blocked AND statecode < 3;;
CREATE INDEX job_serial_queue ON asyncoperation (serialkey, sequence) WHERE serialkey IS NOT NULL AND statecode < 3;;
-- a token's jobs, finished ones too
CREATE INDEX job_token ON asyncoperation (dependencytoken) WHERE dependencytoken IS NOT NULL;;
-- jobs with a file
CREATE INDEX job_file ON asyncoperation (datablobid) WHERE datablobid IS NOT NULL;;
-- a record's jobs
CREATE INDEX job_regarding ON asyncoperation (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
-- the newest first, and pages by time
CREATE INDEX job_created ON asyncoperation (createdon);;
-- open schedules' runs
CREATE INDEX job_schedule ON asyncoperation (scheduleid) WHERE scheduleid IS NOT NULL AND statecode < 3;;
CREATE INDEX step_message ON sdkmessageprocessingstep (sdkmessageid);;
CREATE INDEX attachment_object ON fileattachment (objectid);;
-- Counts by state, status and type (mechanisms, "Counts"): for each key, the sum of n is the number of jobs with that key.
-- Statements append addends, so no row is hot; `fold` adds them up.
CREATE TABLE jobcount (ownerid uuid, owningbusinessunit uuid, statecode integer, statuscode integer, operationtype integer,
    datablobid uuid, n bigint NOT NULL);;
CREATE FUNCTION jobcount_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO jobcount SELECT ownerid, owningbusinessunit, statecode, statuscode, operationtype,
        CASE WHEN datablobid IS NOT NULL THEN '00000000-0000-0000-0000-000000000000'::uuid END AS blob, count(*)
    FROM fresh GROUP BY ownerid, owningbusinessunit, statecode, statuscode, operationtype, blob;
    RETURN NULL;
END $$;;
CREATE FUNCTION jobcount_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO jobcount SELECT ownerid, owningbusinessunit, statecode, statuscode, operationtype,
        CASE WHEN datablobid IS NOT NULL THEN '00000000-0000-0000-0000-000000000000'::uuid END AS blob, -count(*)
    FROM stale GROUP BY ownerid, owningbusinessunit, statecode, statuscode, operationtype, blob;
    RETURN NULL;
END $$;;
CREATE FUNCTION jobcount_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO jobcount SELECT ownerid, owningbusinessunit, statecode, statuscode, operationtype, blob, sum(x) FROM (
        SELECT ownerid, owningbusinessunit, statecode, statuscode, operationtype,
            CASE WHEN datablobid IS NOT NULL THEN '00000000-0000-0000-0000-000000000000'::uuid END AS blob, 1 AS x FROM fresh
        UNION ALL
        SELECT ownerid, owningbusinessunit, statecode, statuscode, operationtype,
            CASE WHEN datablobid IS NOT NULL THEN '00000000-0000-0000-0000-000000000000'::uuid END, -1 FROM stale) d
    GROUP BY ownerid, owningbusinessunit, statecode, statuscode, operationtype, blob HAVING sum(x) <> 0;
    RETURN NULL;
END $$;;
CREATE TRIGGER jobcount_insert AFTER INSERT ON asyncoperation REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION jobcount_insert();;
CREATE TRIGGER jobcount_delete AFTER DELETE ON asyncoperation REFERENCING OLD TABLE AS stale
    FOR EACH STATEMENT EXECUTE FUNCTION jobcount_delete();;
CREATE TRIGGER jobcount_update AFTER UPDATE ON asyncoperation REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION jobcount_update()
