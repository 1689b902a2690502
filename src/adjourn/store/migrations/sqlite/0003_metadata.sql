-- What callers have added to the metadata, one document per table (metadata/customizing.py).
CREATE TABLE metadatadocument (logicalname TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;;
CREATE TRIGGER configversion_metadatadocument_insert AFTER INSERT ON metadatadocument
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_metadatadocument_update AFTER UPDATE ON metadatadocument
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_metadatadocument_delete AFTER DELETE ON metadatadocument
    BEGIN UPDATE configversion SET version = version + 1; END;;
