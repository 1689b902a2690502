"""Work that Dataverse does and nobody does here yet: it is refused by name, never taken on in silence.

Rows that describe such work are kept as drafts: a workflow that says it is activated, and never runs, would be worse than a
refusal. Messages that order it have names that clients know, so a call is told more than that there is no such resource.
Source: the status codes of these tables; messages.md; fetchxml.md §11.
"""

from __future__ import annotations

from collections.abc import Mapping

from adjourn.errors import NotSupported

_DUPLICATES = "Duplicates are not detected yet; a synchronous step can refuse them."
_WORKFLOWS = "Workflows are not run yet; a step that is registered on a message does such work."
_IMPORTS = "Imports are not run yet; CreateMultiple and $batch make many records."
_MAIL = "Mail is not sent."
_CAMPAIGNS = "Campaign activities and quick campaigns are not there."
_SOLUTIONS = "There are no solutions."
_SHARING = "Records are not shared; roles, teams and owners decide who reaches them."
_BACKGROUND = "Background operations are not there; ExecuteAsync makes a job of a message."
_CONVERSION = "Queries are not converted; BulkDelete takes FetchXML too, and fetchXml= asks it."

_DRAFTS: Mapping[str, tuple[int, int, str]] = {
    "workflow": (0, 1, _WORKFLOWS),
    "duplicaterule": (0, 0, _DUPLICATES),
    "import": (0, 0, _IMPORTS),
    "importfile": (0, 0, _IMPORTS),
}
"""By table: the state and status of what waits to be set to work, and what is said to whoever does so."""
_NOT_MADE: Mapping[str, str] = {"backgroundoperation": _BACKGROUND}
"""Tables whose rows come from such work alone."""
_MESSAGES: Mapping[str, str] = {
    **dict.fromkeys(("BulkDetectDuplicates", "PublishDuplicateRule", "UnpublishDuplicateRule"), _DUPLICATES),
    **dict.fromkeys(("RetrieveDuplicates", "CompoundUpdateDuplicateDetectionRule"), _DUPLICATES),
    **dict.fromkeys(("ExecuteWorkflow", "CreateWorkflowFromTemplate"), _WORKFLOWS),
    **dict.fromkeys(("ParseImport", "TransformImport", "ImportRecordsImport"), _IMPORTS),
    **dict.fromkeys(("SendBulkMail", "SendTemplate", "SendEmail", "SendEmailFromTemplate"), _MAIL),
    **dict.fromkeys(("PropagateByExpression", "CreateActivitiesList", "DistributeCampaignActivity"), _CAMPAIGNS),
    **dict.fromkeys(("ImportSolution", "ImportSolutionAsync", "ExportSolution", "ExportSolutionAsync"), _SOLUTIONS),
    **dict.fromkeys(("DeleteAndPromote", "DeleteAndPromoteAsync", "UninstallSolutionAsync"), _SOLUTIONS),
    **dict.fromkeys(("GrantAccess", "ModifyAccess", "RevokeAccess"), _SHARING),
    **dict.fromkeys(("RetrievePrincipalAccess", "RetrieveSharedPrincipalsAndAccess"), _SHARING),
    "ExecuteBackgroundOperation": _BACKGROUND,
    **dict.fromkeys(("FetchXmlToQueryExpression", "QueryExpressionToFetchXml", "ExecuteFetch"), _CONVERSION),
    "ExportToExcel": "Excel files are not written; a page of rows is JSON.",
    "Merge": "Records are not merged.",
}


def check_state(table: str, state: int, status: int) -> None:
    """Raise NotSupported for a state in which something would have to happen."""
    draft = _DRAFTS.get(table)
    if draft is not None and (state, status) != draft[:2]:
        raise NotSupported(f"A record of '{table}' stays in state {draft[0]}, status {draft[1]}. {draft[2]}")


def check_create(table: str) -> None:
    """Raise NotSupported for a record that such work alone makes."""
    if table in _NOT_MADE:
        raise NotSupported(f"Records of '{table}' are not created. {_NOT_MADE[table]}")


def refuse_message(name: str) -> None:
    """Raise NotSupported if this is a message of Dataverse that is not served; pass over any other name."""
    if name in _MESSAGES:
        raise NotSupported(f"Message '{name}' is not supported. {_MESSAGES[name]}", status=501)
