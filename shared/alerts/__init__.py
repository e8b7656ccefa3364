"""Alerts: one record per problem, repeats counted instead of told, and the right people told on the right channels.

    Problem.of(ctx, payload, severity=.., ..)    the event, scrubbed, with its fingerprint
    raise_alert(session, problem, tenant, now)   one row per problem: created, repeated, raised, reopened, resolved
    deliver(ctx, alert_id, scopes, mail)         sends what is planned and pending
    handle(ctx, problem, mail)                   all of it: the way of one event through an alert job

Other modules only emit alert.* events; the jobs of module alerts call these.
"""

from shared.alerts.delivery import deliver
from shared.alerts.handling import Handled, handle
from shared.alerts.mail import Mail, MailOutcome, service_mail
from shared.alerts.problem import Problem
from shared.alerts.raising import Raised, raise_alert

__all__ = ["Handled", "Mail", "MailOutcome", "Problem", "Raised", "deliver", "handle", "raise_alert", "service_mail"]
