-- row security: who reaches his own records only (Basic) finds them by their owner, in the order of pages
CREATE INDEX owner_account ON account (ownerid, accountid);;
CREATE INDEX owner_activitypointer ON activitypointer (ownerid, activityid);;
CREATE INDEX owner_appointment ON appointment (ownerid, activityid);;
CREATE INDEX owner_contact ON contact (ownerid, contactid);;
CREATE INDEX owner_contract ON contract (ownerid, contractid);;
CREATE INDEX owner_duplicaterule ON duplicaterule (ownerid, duplicateruleid);;
CREATE INDEX owner_email ON email (ownerid, activityid);;
CREATE INDEX owner_fax ON fax (ownerid, activityid);;
CREATE INDEX owner_import ON "import" (ownerid, importid);;
CREATE INDEX owner_importfile ON importfile (ownerid, importfileid);;
CREATE INDEX owner_importlog ON importlog (ownerid, importlogid);;
CREATE INDEX owner_letter ON letter (ownerid, activityid);;
CREATE INDEX owner_phonecall ON phonecall (ownerid, activityid);;
CREATE INDEX owner_task ON task (ownerid, activityid);;
CREATE INDEX owner_userquery ON userquery (ownerid, userqueryid);;
CREATE INDEX owner_workflow ON workflow (ownerid, workflowid);;
-- the same for jobs, which people look at the newest first
CREATE INDEX job_owner ON asyncoperation (ownerid, createdon);;
