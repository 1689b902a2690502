-- Roles decide what a caller may: changes of these tables raise configversion too, and with it callers are read anew.
CREATE TRIGGER configversion_role_insert AFTER INSERT ON role
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_role_update AFTER UPDATE ON role
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_role_delete AFTER DELETE ON role
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_privilege_insert AFTER INSERT ON privilege
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_privilege_update AFTER UPDATE ON privilege
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_privilege_delete AFTER DELETE ON privilege
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_roleprivileges_insert AFTER INSERT ON roleprivileges
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_roleprivileges_update AFTER UPDATE ON roleprivileges
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_roleprivileges_delete AFTER DELETE ON roleprivileges
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_systemuserroles_insert AFTER INSERT ON systemuserroles
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_systemuserroles_update AFTER UPDATE ON systemuserroles
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_systemuserroles_delete AFTER DELETE ON systemuserroles
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_teamroles_insert AFTER INSERT ON teamroles
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_teamroles_update AFTER UPDATE ON teamroles
    BEGIN UPDATE configversion SET version = version + 1; END;;
CREATE TRIGGER configversion_teamroles_delete AFTER DELETE ON teamroles
    BEGIN UPDATE configversion SET version = version + 1; END;;
-- the roles of a user or team, and who has a role; what a role holds
CREATE UNIQUE INDEX systemuserroles_key ON systemuserroles (systemuserid, roleid);;
CREATE UNIQUE INDEX teamroles_key ON teamroles (teamid, roleid);;
CREATE UNIQUE INDEX roleprivileges_key ON roleprivileges (roleid, privilegeid);;
