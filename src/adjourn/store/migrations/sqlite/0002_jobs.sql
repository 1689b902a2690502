-- Indexes of the job table. Full ones: the key, and nothing else; each partial one names its query.
-- claim: Ready jobs of a type in the order of sequence (the rowid, which ends every index)
CREATE INDEX job_ready ON asyncoperation (operationtype) WHERE statecode = 0;;
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
-- Counts by state, status and type (mechanisms, "Counts"): for each key, n is the number of jobs with that key.
CREATE TABLE jobcount (ownerid TEXT, owningbusinessunit TEXT, statecode INTEGER, statuscode INTEGER, operationtype INTEGER,
    datablobid TEXT, n INTEGER NOT NULL);;
CREATE UNIQUE INDEX jobcount_key ON jobcount (statecode, statuscode, operationtype, ifnull(ownerid, ''),
    ifnull(owningbusinessunit, ''), ifnull(datablobid, ''));;
CREATE TRIGGER jobcount_insert AFTER INSERT ON asyncoperation BEGIN
    INSERT INTO jobcount VALUES (new.ownerid, new.owningbusinessunit, new.statecode, new.statuscode, new.operationtype,
        CASE WHEN new.datablobid IS NULL THEN NULL ELSE '00000000-0000-0000-0000-000000000000' END, 1)
    ON CONFLICT (statecode, statuscode, operationtype, ifnull(ownerid, ''), ifnull(owningbusinessunit, ''),
        ifnull(datablobid, '')) DO UPDATE SET n = n + 1;
END;;
CREATE TRIGGER jobcount_delete AFTER DELETE ON asyncoperation BEGIN
    INSERT INTO jobcount VALUES (old.ownerid, old.owningbusinessunit, old.statecode, old.statuscode, old.operationtype,
        CASE WHEN old.datablobid IS NULL THEN NULL ELSE '00000000-0000-0000-0000-000000000000' END, -1)
    ON CONFLICT (statecode, statuscode, operationtype, ifnull(ownerid, ''), ifnull(owningbusinessunit, ''),
        ifnull(datablobid, '')) DO UPDATE SET n = n - 1;
END;;
CREATE TRIGGER jobcount_update AFTER UPDATE OF ownerid, owningbusinessunit, statecode, statuscode, operationtype, datablobid
ON asyncoperation WHEN old.statecode IS NOT new.statecode OR old.statuscode IS NOT new.statuscode
    OR old.operationtype IS NOT new.operationtype OR old.ownerid IS NOT new.ownerid
    OR old.owningbusinessunit IS NOT new.owningbusinessunit OR (old.datablobid IS NULL) <> (new.datablobid IS NULL)
BEGIN
    INSERT INTO jobcount VALUES (old.ownerid, old.owningbusinessunit, old.statecode, old.statuscode, old.operationtype,
        CASE WHEN old.datablobid IS NULL THEN NULL ELSE '00000000-0000-0000-0000-000000000000' END, -1)
    ON CONFLICT (statecode, statuscode, operationtype, ifnull(ownerid, ''), ifnull(owningbusinessunit, ''),
        ifnull(datablobid, '')) DO UPDATE SET n = n - 1;
    INSERT INTO jobcount VALUES (new.ownerid, new.owningbusinessunit, new.statecode, new.statuscode, new.operationtype,
        CASE WHEN new.datablobid IS NULL THEN NULL ELSE '00000000-0000-0000-0000-000000000000' END, 1)
    ON CONFLICT (statecode, statuscode, operationtype, ifnull(ownerid, ''), ifnull(owningbusinessunit, ''),
        ifnull(datablobid, '')) DO UPDATE SET n = n + 1;
END
