"""The built-in texts of mails to creators and applicants; a tenant's own templates win over them.

Neutral English, in the voice of the brand. A variable with a star is required.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.mail.registry import register_template
from shared.mail.rendering import Texts

_GREETING = "<p>Hi {{creatorName}},</p>"
_CLOSING = "<p>{{brandName}}{{#supportEmail}}<br>Questions? Write to {{supportEmail}}.{{/supportEmail}}</p>"


def letter(*paragraphs: str, greeting: str = _GREETING) -> str:
    """A plain mail of paragraphs between greeting and closing; a paragraph that begins with `<` is taken as it is."""
    body = "\n".join(text if text.startswith(("<", "{{#")) else f"<p>{text}</p>" for text in paragraphs)
    return f"{greeting}\n{body}\n{_CLOSING}"


def link(name: str, text: str) -> str:
    """A link to the address in variable `name`."""
    return f'<a href="{{{{{name}}}}}">{text}</a>'


def maybe(name: str, text: str) -> str:
    """A paragraph that stands only when the variable has a value."""
    return f"{{{{#{name}}}}}<p>{text}</p>{{{{/{name}}}}}"


Entry = tuple[str, str, str | None, Sequence[str], str, str]
"""Key, category, notification type, variables, subject, HTML."""

_ACCOUNT: list[Entry] = [
    (
        "creator_application_received",
        "account",
        "application_received",
        ["creatorName*", "applicationId", "reviewDays"],
        "We have received your application",
        letter(
            "Thank you for applying to work with {{brandName}}. Your application has arrived.",
            maybe("reviewDays", "We usually answer within {{reviewDays}} days."),
            maybe("applicationId", "Your application number is {{applicationId}}."),
        ),
    ),
    (
        "creator_application_approved",
        "account",
        "application_approved",
        ["creatorName*", "loginUrl*", "dashboardUrl", "discountCode", "commissionRate"],
        "Your application to {{brandName}} is approved",
        letter(
            "Good news: your application is approved.",
            f"{link('loginUrl', 'Log in to your account')}. The link is for you alone; please do not pass it on.",
            maybe("discountCode", "Your personal code is <strong>{{discountCode}}</strong>."),
            maybe("commissionRate", "You earn {{commissionRate}}% commission on orders with your code."),
            maybe("dashboardUrl", f"Later you will find everything in {link('dashboardUrl', 'your dashboard')}."),
        ),
    ),
    (
        "creator_application_rejected",
        "account",
        "application_rejected",
        ["creatorName*", "rejectionReason", "feedback", "reapplyUrl", "reapplyAfter"],
        "About your application to {{brandName}}",
        letter(
            "Thank you for your interest in working with us. We cannot offer you a place at this time.",
            maybe("rejectionReason", "{{rejectionReason}}"),
            maybe("feedback", "{{feedback}}"),
            maybe("reapplyAfter", "You are welcome to apply again from {{reapplyAfter}}."),
            maybe("reapplyUrl", f"{link('reapplyUrl', 'Apply again')}"),
        ),
    ),
    (
        "creator_application_admin_notice",
        "account",
        None,
        ["creatorName*", "applicationUrl*", "source", "followerCount", "reminderNumber"],
        "{{#reminderNumber}}Reminder: {{/reminderNumber}}new application of {{creatorName}}",
        letter(
            "{{creatorName}} has applied to become a creator.",
            maybe("source", "Came from: {{source}}"),
            maybe("followerCount", "Followers: {{followerCount}}"),
            link("applicationUrl", "Look at the application"),
            greeting="<p>Hello,</p>",
        ),
    ),
]

_ONBOARDING: list[Entry] = [
    (
        "welcome-1-getting-started",
        "onboarding",
        None,
        ["creatorName*", "portalUrl*"],
        "Welcome to {{brandName}}: getting started",
        letter(
            "We are glad that you are here. Everything you need is in your creator portal.",
            f"Start by looking around in {link('portalUrl', 'the portal')} and checking your payment details.",
        ),
    ),
    (
        "welcome-2-profile-tips",
        "onboarding",
        None,
        ["creatorName*", "portalUrl*"],
        "Make your profile complete",
        letter(
            "A complete profile helps us to find the projects that fit you.",
            "<ul><li>Add a photo and a short text about yourself.</li><li>Connect the platforms that you post on.</li>"
            "<li>Say what you like to make.</li></ul>",
            link("portalUrl", "Go to your profile"),
        ),
    ),
    (
        "welcome-3-first-project",
        "onboarding",
        None,
        ["creatorName*", "portalUrl*"],
        "Your first project",
        letter(
            "Projects appear in your portal with a brief, a date and what you are paid.",
            "Read the brief, ask if anything is unclear, and hand in your work before its date.",
            link("portalUrl", "See your projects"),
        ),
    ),
    (
        "welcome-4-success-stories",
        "onboarding",
        None,
        ["creatorName*", "portalUrl*"],
        "What works for other creators",
        letter(
            "Creators who do well with {{brandName}} have three habits.",
            "<ul><li>They show the product in their own daily life.</li><li>They share their code more than once.</li>"
            "<li>They answer the questions under their posts.</li></ul>",
            link("portalUrl", "Open your portal"),
        ),
    ),
    (
        "creator_setup_complete",
        "onboarding",
        None,
        ["creatorName*", "dashboardUrl*", "discountCode"],
        "Your account is ready",
        letter(
            "Your account is set up; nothing more is needed from you.",
            maybe("discountCode", "Your personal code is <strong>{{discountCode}}</strong>."),
            link("dashboardUrl", "Open your dashboard"),
        ),
    ),
    (
        "creator_onboarding_reminder",
        "onboarding",
        None,
        ["creatorName*", "onboardingUrl*", "stepsRemaining"],
        "A few steps are left",
        letter(
            "Your account is not quite ready yet.",
            maybe("stepsRemaining", "Steps that are left: {{stepsRemaining}}"),
            link("onboardingUrl", "Continue where you stopped"),
        ),
    ),
    *[
        (
            f"creator_approval_reminder_{step}",
            "onboarding",
            None,
            ["creatorName*", "portalUrl*", "daysSinceApproval"],
            subject,
            letter(text, link("portalUrl", "Log in to your portal")),
        )
        for step, subject, text in (
            ("1", "Your account is waiting for you", "Your application is approved, and you have not logged in yet."),
            (
                "2",
                "Have you seen your portal yet?",
                "Your portal with projects and your code is waiting for you.",
            ),
            (
                "final",
                "Last reminder: log in to your account",
                "This is our last reminder: your account is approved but unused. Log in to keep your place.",
            ),
        )
    ],
    *[
        (
            f"creator_welcome_call_{step}",
            "onboarding",
            None,
            ["creatorName*", "bookingUrl*"],
            subject,
            letter(text, link("bookingUrl", "Choose a time")),
        )
        for step, subject, text in (
            ("reminder", "Book your welcome call", "Let us get to know each other in a short welcome call."),
            ("urgent", "Your welcome call is still open", "You have not chosen a time for your welcome call yet."),
        )
    ],
    *[
        (
            f"creator_application_reminder_{step}",
            "onboarding",
            None,
            ["creatorName", "resumeUrl*", "stepsRemaining"],
            subject,
            letter(
                text,
                maybe("stepsRemaining", "Steps that are left: {{stepsRemaining}}"),
                link("resumeUrl", "Continue your application"),
                greeting="<p>Hi{{#creatorName}} {{creatorName}}{{/creatorName}},</p>",
            ),
        )
        for step, subject, text in (
            ("24h", "Your application is not finished yet", "You began an application and did not send it yet."),
            ("48h", "Shall we keep your application?", "Your application is still saved. It takes a few minutes more."),
        )
    ],
]

_WORK: list[Entry] = [
    (
        "creator_product_shipped",
        "shipment",
        None,
        ["creatorName*", "productList", "carrier", "trackingNumber", "trackingUrl"],
        "Your parcel is on its way",
        letter(
            "We have sent you a parcel.",
            maybe("productList", "In it: {{productList}}"),
            maybe("trackingNumber", "{{#carrier}}{{carrier}} {{/carrier}}{{trackingNumber}}"),
            maybe("trackingUrl", link("trackingUrl", "Follow the parcel")),
        ),
    ),
    (
        "creator_product_delivery_reminder",
        "reminder",
        None,
        ["creatorName*", "productList", "projectTitle", "projectUrl*", "deliveredOn"],
        "Your parcel has arrived: what comes next",
        letter(
            "Your parcel{{#deliveredOn}} arrived on {{deliveredOn}}{{/deliveredOn}}"
            "{{#productList}} ({{productList}}){{/productList}} should be with you.",
            "{{#projectTitle}}<p>We look forward to your work for {{projectTitle}}.</p>{{/projectTitle}}",
            link("projectUrl", "Open the project"),
        ),
    ),
    (
        "creator_deadline_reminder",
        "reminder",
        "deadline_reminder",
        ["creatorName*", "projectTitle*", "projectUrl*", "deadline*", "daysRemaining*"],
        "{{projectTitle}} is due on {{deadline}}",
        letter(
            "{{projectTitle}} is due on {{deadline}}. Days left: {{daysRemaining}}.",
            link("projectUrl", "Open the project"),
        ),
    ),
    (
        "creator_no_response_reminder",
        "reminder",
        None,
        ["creatorName*", "threadSubject*", "threadUrl*", "daysWaiting"],
        "Waiting for your answer: {{threadSubject}}",
        letter(
            "We have not heard from you about {{threadSubject}}.",
            maybe("daysWaiting", "Our message was sent {{daysWaiting}} days ago."),
            link("threadUrl", "Answer"),
        ),
    ),
    (
        "creator_manual_reminder",
        "reminder",
        None,
        ["creatorName*", "message*", "actionUrl"],
        "A reminder from {{brandName}}",
        letter("{{message}}", maybe("actionUrl", link("actionUrl", "Open"))),
    ),
    (
        "creator_project_assigned",
        "project",
        "project_assigned",
        ["creatorName*", "projectTitle*", "projectUrl*", "deadline", "compensation"],
        "New project: {{projectTitle}}",
        letter(
            "You have a new project: {{projectTitle}}.",
            maybe("deadline", "Due on {{deadline}}"),
            maybe("compensation", "Compensation: {{compensation}}"),
            link("projectUrl", "Read the brief"),
        ),
    ),
    (
        "creator_project_submitted",
        "project",
        None,
        ["creatorName*", "projectTitle*", "projectUrl*"],
        "We have received your work for {{projectTitle}}",
        letter(
            "Thank you: your work for {{projectTitle}} has arrived. We look at it and come back to you.",
            link("projectUrl", "Open the project"),
        ),
    ),
    (
        "creator_revision_requested",
        "project",
        "revision_requested",
        ["creatorName*", "projectTitle*", "projectUrl*", "revisionNotes*"],
        "Changes for {{projectTitle}}",
        letter(
            "We have looked at {{projectTitle}} and ask you for some changes:",
            "<blockquote>{{revisionNotes}}</blockquote>",
            link("projectUrl", "Open the project"),
        ),
    ),
    (
        "creator_project_approved",
        "project",
        "project_approved",
        ["creatorName*", "projectTitle*", "projectUrl*", "compensation"],
        "{{projectTitle}} is approved",
        letter(
            "Your work for {{projectTitle}} is approved. Thank you.",
            maybe("compensation", "Compensation: {{compensation}}"),
            link("projectUrl", "Open the project"),
        ),
    ),
    (
        "creator_project_completed",
        "project",
        None,
        ["creatorName*", "projectTitle*", "projectUrl*", "compensation"],
        "{{projectTitle}} is complete",
        letter(
            "{{projectTitle}} is complete. Thank you for your work.",
            maybe("compensation", "Compensation: {{compensation}}"),
            link("projectUrl", "Open the project"),
        ),
    ),
    (
        "creator_project_cancelled",
        "project",
        None,
        ["creatorName*", "projectTitle*"],
        "{{projectTitle}} is cancelled",
        letter("The project {{projectTitle}} is cancelled. You need not do anything more for it."),
    ),
]

_MONEY: list[Entry] = [
    (
        "creator_payment_available",
        "payment",
        "payment_available",
        ["creatorName*", "amount*", "payoutUrl*"],
        "{{amount}} is available to you",
        letter("{{amount}} is available for payout.", link("payoutUrl", "Request a payout")),
    ),
    (
        "creator_payout_initiated",
        "payment",
        "withdrawal_processed",
        ["creatorName*", "amount*", "paymentMethod", "expectedDate"],
        "Your payout of {{amount}} is on its way",
        letter(
            "We have sent you {{amount}}{{#paymentMethod}} by {{paymentMethod}}{{/paymentMethod}}.",
            maybe("expectedDate", "It should arrive by {{expectedDate}}."),
        ),
    ),
    (
        "creator_payout_completed",
        "payment",
        "withdrawal_processed",
        ["creatorName*", "amount*", "paymentMethod", "paymentDate"],
        "Your payout of {{amount}} is complete",
        letter(
            "Your payout of {{amount}}{{#paymentMethod}} by {{paymentMethod}}{{/paymentMethod}} is complete.",
            maybe("paymentDate", "Date: {{paymentDate}}"),
        ),
    ),
    (
        "creator_payout_failed",
        "payment",
        "payment_failed",
        ["creatorName*", "amount*", "failureReason", "payoutUrl*"],
        "Your payout of {{amount}} did not go through",
        letter(
            "Your payout of {{amount}} did not go through. The money is still yours.",
            maybe("failureReason", "{{failureReason}}"),
            link("payoutUrl", "Check your payment details"),
        ),
    ),
    (
        "creator_monthly_summary",
        "summary",
        None,
        ["creatorName*", "month*", "totalEarnings", "projectsCompleted", "dashboardUrl"],
        "Your month with {{brandName}}: {{month}}",
        letter(
            "Here is your {{month}}.",
            maybe("totalEarnings", "Earnings: {{totalEarnings}}"),
            maybe("projectsCompleted", "Projects completed: {{projectsCompleted}}"),
            maybe("dashboardUrl", link("dashboardUrl", "See all figures")),
        ),
    ),
    (
        "esign_signing_request",
        "contract",
        "esign_request",
        ["signerName*", "documentName*", "signingUrl*", "expiryDate", "message"],
        "Please sign: {{documentName}}",
        letter(
            "{{brandName}} asks you to sign {{documentName}}.",
            maybe("message", "{{message}}"),
            link("signingUrl", "Read and sign"),
            maybe("expiryDate", "The link works until {{expiryDate}}."),
            greeting="<p>Hello {{signerName}},</p>",
        ),
    ),
]


def _register(*lists: list[Entry]) -> None:
    for key, category, kind, variables, subject, html in [entry for entries in lists for entry in entries]:
        register_template(key, category, variables, Texts(subject, html), notification_type=kind)


_register(_ACCOUNT, _ONBOARDING, _WORK, _MONEY)
