"""The built-in texts of alert mails; a tenant's own templates win over them.

Required is only what makes a mail an alert: a text that lacks a detail is better than none.
"""

from __future__ import annotations

from shared.alerts.mail import CATEGORY, NOTICE, RECOVERED
from shared.mail import Texts, register_template

VARIABLES = ("severity*", "title*", "message", "source", "tenantName", "since", "occurrences", "url")

_HTML = """<h2>{{title}}</h2>
<p style="white-space: pre-line">{{message}}</p>
<p>Severity: {{severity}}<br>Source: {{source}}<br>Tenant: {{tenantName}}<br>Since: {{since}}<br>
Occurrences: {{occurrences}}</p>
{{#url}}<p><a href="{{url}}">Open</a></p>{{/url}}"""

_TEXT = """{{title}}

{{message}}

Severity: {{severity}}
Source: {{source}}
Tenant: {{tenantName}}
Since: {{since}}
Occurrences: {{occurrences}}
{{#url}}
{{url}}
{{/url}}"""

register_template(NOTICE, CATEGORY, VARIABLES, Texts("[{{tenantName}}] {{severity}}: {{title}}", _HTML, _TEXT))
# The message of a recovery says by itself that the problem is over.
register_template(RECOVERED, CATEGORY, VARIABLES, Texts("[{{tenantName}}] recovered: {{title}}", _HTML, _TEXT))
