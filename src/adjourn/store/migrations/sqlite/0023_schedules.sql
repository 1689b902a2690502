-- Runs of a schedule never overlap: at most one of them is open.
DROP INDEX job_schedule;;
CREATE UNIQUE INDEX job_one_run ON asyncoperation (scheduleid) WHERE scheduleid IS NOT NULL AND statecode < 3;;
-- make_due: schedules by their moment, however many postponed jobs there are
CREATE INDEX job_schedule_due ON asyncoperation (postponeuntil) WHERE statecode = 1 AND recurrencepattern IS NOT NULL
    AND postponeuntil IS NOT NULL;;
-- The index of words (query/text_index.py): a row per record; its words are in a table that keeps no text.
CREATE TABLE textindexed (number INTEGER PRIMARY KEY, tablename TEXT NOT NULL, recordid TEXT NOT NULL, digest TEXT NOT NULL);;
CREATE UNIQUE INDEX textindexed_record ON textindexed (tablename, recordid);;
CREATE VIRTUAL TABLE textindex USING fts5(words, content='', contentless_delete=1, tokenize='unicode61');;
