"""Resource classes: which operation types draw on one limit, so that a flood of one never starves another.

Plug-ins, workflows and requests share the executor slots; the other classes have supervisor threads of their own.
Source: design §9; operation types of asyncoperation.json.
"""

from __future__ import annotations

from adjourn.jobs.model import EVENT, REQUEST, WORKFLOW, ResourceClass

PLUGINS = ResourceClass("plugins", (EVENT,), 0)
REQUESTS = ResourceClass("requests", (REQUEST,), 0)
WORKFLOWS = ResourceClass("workflows", (WORKFLOW,), 0)
BULK = ResourceClass("bulk", (13, 23, 3, 4, 5, 17, 7, 8, 88, 89, 90, 91, 94, 105), 2)
MAIL = ResourceClass("mail", (2, 6, 11), 2)
MAINTENANCE = ResourceClass("maintenance", (9, 16, 18, 19, 20, 22, 24, 25, 27, 31), 2)

CLASSES = (PLUGINS, REQUESTS, WORKFLOWS, BULK, MAIL, MAINTENANCE)
PLATFORM_TYPES = frozenset(MAINTENANCE.operation_types)
"""Jobs that the platform runs by itself: nobody cancels, pauses or resumes them."""
_OF_TYPE = {kind: found for found in CLASSES for kind in found.operation_types}
SLOT_CLASSES = tuple(found for found in CLASSES if found.threads == 0)
THREAD_CLASSES = tuple(found for found in CLASSES if found.threads > 0)


def class_of(operation_type: int) -> ResourceClass:
    """The class of an operation type; a type that nothing runs yet counts as maintenance."""
    return _OF_TYPE.get(operation_type, MAINTENANCE)
