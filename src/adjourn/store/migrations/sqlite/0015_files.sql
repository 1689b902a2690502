-- Files of columns, in pieces (pipeline/files.py): uploads under way, and what lies in which piece.
CREATE TABLE fileupload (fileuploadid TEXT PRIMARY KEY, tablename TEXT NOT NULL, recordid TEXT NOT NULL,
    columnname TEXT NOT NULL, filename TEXT NOT NULL, userid TEXT NOT NULL, touchedon TEXT NOT NULL) WITHOUT ROWID;;
CREATE INDEX fileupload_touched ON fileupload (touchedon);;
CREATE TABLE filepiece (pieceid TEXT PRIMARY KEY, fileid TEXT NOT NULL, blockname TEXT NOT NULL,
    startbyte INTEGER NOT NULL, sizeinbytes INTEGER NOT NULL) WITHOUT ROWID;;
CREATE INDEX filepiece_file ON filepiece (fileid, startbyte);;
