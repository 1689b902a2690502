"""adjourn: the asynchronous service of Microsoft Dataverse, open and self-hosted."""
