-- Roles decide what a caller may: changes of these tables raise configversion too, and with it callers are read anew.
CREATE TRIGGER configversion_role AFTER INSERT OR UPDATE OR DELETE ON role
    FOR EACH STATEMENT EXECUTE FUNCTION raise_configversion();;
CREATE TRIGGER configversion_privilege AFTER INSERT OR UPDATE OR DELETE ON privilege
    FOR EACH STATEMENT EXECUTE FUNCTION raise_configversion();;
CREATE TRIGGER configversion_roleprivileges AFTER INSERT OR UPDATE OR DELETE ON roleprivileges
    FOR EACH STATEMENT EXECUTE FUNCTION raise_configversion();;
CREATE TRIGGER configversion_systemuserroles AFTER INSERT OR UPDATE OR DELETE ON systemuserroles
    FOR EACH STATEMENT EXECUTE FUNCTION raise_configversion();;
CREATE TRIGGER configversion_teamroles AFTER INSERT OR UPDATE OR DELETE ON teamroles
    FOR EACH STATEMENT EXECUTE FUNCTION raise_configversion();;
-- the roles of a user or team, and who has a role; what a role holds
CREATE UNIQUE INDEX systemuserroles_key ON systemuserroles (systemuserid, roleid);;
CREATE UNIQUE INDEX teamroles_key ON teamroles (teamid, roleid);;
CREATE UNIQUE INDEX roleprivileges_key ON roleprivileges (roleid, privilegeid);;
