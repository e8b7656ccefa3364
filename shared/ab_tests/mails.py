"""The built-in texts of mails about A/B tests; a tenant's own templates win over them.

They hold names of tests and variants, counts and rates; nothing of visitors or orders. `lines` and `tests` are texts of
several lines.
"""

from __future__ import annotations

from shared.mail import Texts, register_template

CATEGORY = "summary"
RESULT, DAILY, OPTIMIZATION = "ab_test_result", "ab_daily_summary", "ab_optimization_summary"

_LINK = '{{#adminUrl}}<p><a href="{{adminUrl}}">Open in the admin app</a></p>{{/adminUrl}}'
_LINES = '<p style="white-space: pre-line">{{%s}}</p>'

register_template(
    RESULT,
    CATEGORY,
    ("testName*", "result*", "reason", "days", "lines", "adminUrl"),
    Texts(
        "A/B test {{testName}}: {{result}}",
        f"<h2>{{{{testName}}}}</h2>\n<p><strong>{{{{result}}}}</strong></p>\n"
        f"<p>Ended: {{{{reason}}}}, after {{{{days}}}} days.</p>\n{_LINES % 'lines'}\n{_LINK}",
    ),
)
register_template(
    DAILY,
    CATEGORY,
    ("date*", "tests*", "attentionCount", "adminUrl"),
    Texts(
        "A/B tests on {{date}}",
        f"<h2>A/B tests on {{{{date}}}}</h2>\n<p>Tests that need attention: {{{{attentionCount}}}}</p>\n"
        f"{_LINES % 'tests'}\n{_LINK}",
    ),
)
register_template(
    OPTIMIZATION,
    CATEGORY,
    ("date*", "tests*", "changes", "adminUrl"),
    Texts(
        "A/B traffic optimisation on {{date}}",
        f"<h2>A/B traffic optimisation on {{{{date}}}}</h2>\n<p>Weight changes in 24 hours: {{{{changes}}}}</p>\n"
        f"{_LINES % 'tests'}\n{_LINK}",
    ),
)
