-- fold_(text): the form in which two texts are equal when they differ in case only, the same on every PostgreSQL,
-- whatever the database's own locale: ICU's rules where they are built in, else the C library's, else A to Z alone.
DO $$ BEGIN
    BEGIN
        CREATE COLLATION text_fold (provider = icu, locale = 'und');
    EXCEPTION WHEN OTHERS THEN
        BEGIN
            CREATE COLLATION text_fold (provider = libc, locale = 'C.UTF-8');
        EXCEPTION WHEN OTHERS THEN
            CREATE COLLATION text_fold FROM "C";
        END;
    END;
END $$;;
CREATE FUNCTION fold_(value text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT lower(value COLLATE text_fold)';;
