"""The state machines of the app: one readable file `<Name>.asl.json` each, in this folder."""

from infra.workflows.definition import Workflow, WorkflowError, expand, load

__all__ = ["Workflow", "WorkflowError", "expand", "load"]
