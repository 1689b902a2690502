-- What callers have added to the metadata, one document per table (metadata/customizing.py).
CREATE TABLE metadatadocument (logicalname text PRIMARY KEY, document text NOT NULL);;
CREATE TRIGGER configversion_metadatadocument AFTER INSERT OR UPDATE OR DELETE ON metadatadocument
    FOR EACH STATEMENT EXECUTE FUNCTION raise_configversion();;
