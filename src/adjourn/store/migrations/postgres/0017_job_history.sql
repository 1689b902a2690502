-- What people, retries, pauses, rescues and dependency tokens did to a job (jobs/history.py); a plain run writes nothing.
CREATE TABLE jobhistory (jobsequence bigint NOT NULL, number integer NOT NULL, happenedon timestamptz NOT NULL, event text NOT NULL,
    fromstatus integer NOT NULL, tostatus integer NOT NULL, actorid uuid NOT NULL, detail text,
    PRIMARY KEY (jobsequence, number));;
