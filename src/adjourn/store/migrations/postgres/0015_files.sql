-- Files of columns, in pieces (pipeline/files.py): uploads under way, and what lies in which piece.
CREATE TABLE fileupload (fileuploadid uuid PRIMARY KEY, tablename text NOT NULL, recordid uuid NOT NULL,
    columnname text NOT NULL, filename text NOT NULL, userid uuid NOT NULL, touchedon timestamptz NOT NULL);;
CREATE INDEX fileupload_touched ON fileupload (touchedon);;
CREATE TABLE filepiece (pieceid uuid PRIMARY KEY, fileid uuid NOT NULL, blockname text NOT NULL,
    startbyte bigint NOT NULL, sizeinbytes bigint NOT NULL);;
CREATE INDEX filepiece_file ON filepiece (fileid, startbyte);;
