-- Deletes follow the relationships of each row: without these each would read whole tables. Null costs nothing.
CREATE INDEX account_parentaccountid ON account (parentaccountid) WHERE parentaccountid IS NOT NULL;;
CREATE INDEX account_primarycontactid ON account (primarycontactid) WHERE primarycontactid IS NOT NULL;;
CREATE INDEX contact_parentcustomerid ON contact (parentcustomerid) WHERE parentcustomerid IS NOT NULL;;
CREATE INDEX contract_customerid ON contract (customerid) WHERE customerid IS NOT NULL;;
CREATE INDEX activitypointer_regardingobjectid ON activitypointer (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
CREATE INDEX appointment_regardingobjectid ON appointment (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
CREATE INDEX email_regardingobjectid ON email (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
CREATE INDEX fax_regardingobjectid ON fax (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
CREATE INDEX letter_regardingobjectid ON letter (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
CREATE INDEX phonecall_regardingobjectid ON phonecall (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
CREATE INDEX task_regardingobjectid ON task (regardingobjectid) WHERE regardingobjectid IS NOT NULL;;
CREATE INDEX bulkdeletefailure_bulkdeleteoperationid ON bulkdeletefailure (bulkdeleteoperationid) WHERE bulkdeleteoperationid IS NOT NULL;;
CREATE INDEX bulkdeletefailure_asyncoperationid ON bulkdeletefailure (asyncoperationid) WHERE asyncoperationid IS NOT NULL;;
CREATE INDEX bulkdeleteoperation_asyncoperationid ON bulkdeleteoperation (asyncoperationid) WHERE asyncoperationid IS NOT NULL;;
CREATE INDEX duplicaterecord_asyncoperationid ON duplicaterecord (asyncoperationid) WHERE asyncoperationid IS NOT NULL;;
CREATE INDEX workflowlog_asyncoperationid ON workflowlog (asyncoperationid) WHERE asyncoperationid IS NOT NULL;;
