"""Applications: from the form to the approved or rejected creator.

The state machine ApplicationReview leads each application: it is processed, the team is told, its card stands in the
pipeline and its step in the statistics; then a person's decision is awaited, for 14 days with reminders, and carried
out. Every step is one of the jobs here, and each also works alone when its event is published (`orchestrated` false:
then the jobs publish each other's events, as they do where workflows are off).

What holds at any time: one execution per application; the first decision holds until it is carried out; a decision is
carried out once, by the workflow or by a job, whichever the review's locked row says. Names, addresses, tokens and
texts to or about a person stand in no log, result or alert.
"""

from functions.creators.applications.approval import process_approval
from functions.creators.applications.approval_mail import send_approval_email
from functions.creators.applications.decisions import on_approved, on_rejected
from functions.creators.applications.intake import on_applied, process_application
from functions.creators.applications.notices import notify_admin_new_application
from functions.creators.applications.pipeline import create_pipeline_entry
from functions.creators.applications.rejection import process_rejection, send_rejection_email
from functions.creators.applications.slack import slack_notification
from functions.creators.applications.tracking import track_application_analytics

__all__ = [
    "create_pipeline_entry",
    "notify_admin_new_application",
    "on_applied",
    "on_approved",
    "on_rejected",
    "process_application",
    "process_approval",
    "process_rejection",
    "send_approval_email",
    "send_rejection_email",
    "slack_notification",
    "track_application_analytics",
]
