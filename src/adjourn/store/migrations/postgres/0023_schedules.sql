-- Runs of a schedule never overlap: at most one of them is open.
DROP INDEX job_schedule;;
CREATE UNIQUE INDEX job_one_run ON asyncoperation (scheduleid) WHERE scheduleid IS NOT NULL AND statecode < 3;;
-- make_due: schedules by their moment, however many postponed jobs there are
CREATE INDEX job_schedule_due ON asyncoperation (postponeuntil) WHERE statecode = 1 AND recurrencepattern IS NOT NULL
    AND postponeuntil IS NOT NULL;;
-- The index of words (query/text_index.py): a row per record.
CREATE TABLE textindexed (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tablename text NOT NULL, recordid uuid NOT NULL,
    digest text NOT NULL, words tsvector NOT NULL);;
CREATE UNIQUE INDEX textindexed_record ON textindexed (tablename, recordid);;
CREATE INDEX textindexed_words ON textindexed USING gin (words);;
