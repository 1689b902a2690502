-- What people, retries, pauses, rescues and dependency tokens did to a job (jobs/history.py); a plain run writes nothing.
CREATE TABLE jobhistory (jobsequence INTEGER NOT NULL, number INTEGER NOT NULL, happenedon TEXT NOT NULL, event TEXT NOT NULL,
    fromstatus INTEGER NOT NULL, tostatus INTEGER NOT NULL, actorid TEXT NOT NULL, detail TEXT,
    PRIMARY KEY (jobsequence, number)) WITHOUT ROWID;;
