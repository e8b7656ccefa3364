"""Generated from the jobs' contracts by `scripts/publishers`; do not edit.

A field that is None is left out of the message. Instants must carry a zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, Literal

from cgk_publisher.base import AppEvent, Part


@dataclass(frozen=True, kw_only=True)
class AbCounterSync(AppEvent):
    """Take the storefront's counters in, of some tests or of all live ones."""

    EVENT_NAME: ClassVar[str] = "ab.counterSync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_ids": "testIds",
        "force_sync": "forceSync",
        "slot": "slot",
    }

    test_ids: Sequence[str] | None = None
    """maxItems 200"""
    force_sync: bool | None = None
    """default False"""
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbDailySummary(AppEvent):
    """Tell the team how its tests stand."""

    EVENT_NAME: ClassVar[str] = "ab.dailySummary"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "send_to_slack": "sendToSlack",
        "recipient_email": "recipientEmail",
        "slot": "slot",
    }

    send_to_slack: bool | None = None
    recipient_email: str | None = None
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbMetricsAggregate(AppEvent):
    """Recount the days that a span touches, and judge the tests."""

    EVENT_NAME: ClassVar[str] = "ab.metricsAggregate"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_id": "testId",
        "hour": "hour",
        "period": "period",
        "slot": "slot",
    }

    test_id: str | None = None
    """minLength 1; maxLength 255"""
    hour: datetime | None = None
    """date-time"""
    period: Literal["hourly", "daily", "full"] | None = None
    """default 'hourly'"""
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbNightlyReconcile(AppEvent):
    """Recount the last days from the raw rows and check the data."""

    EVENT_NAME: ClassVar[str] = "ab.nightlyReconcile"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "reconciliation_date": "reconciliationDate",
        "full_reconciliation": "fullReconciliation",
        "slot": "slot",
    }

    reconciliation_date: date | None = None
    """date"""
    full_reconciliation: bool | None = None
    """default False"""
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbOptimizationSummary(AppEvent):
    """Tell the team what the bandits did in the last day."""

    EVENT_NAME: ClassVar[str] = "ab.optimizationSummary"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "include_recommendations": "includeRecommendations",
        "slot": "slot",
    }

    include_recommendations: bool | None = None
    """default True"""
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbOptimize(AppEvent):
    """Look at the guardrails, and at the bandit tests whose weights are due."""

    EVENT_NAME: ClassVar[str] = "ab.optimize"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_id": "testId",
        "algorithm": "algorithm",
        "epsilon": "epsilon",
        "slot": "slot",
    }

    test_id: str | None = None
    """minLength 1; maxLength 255"""
    algorithm: Literal["mab", "thompson", "epsilon_greedy"] | None = None
    epsilon: float | None = None
    """minimum 0; maximum 0.5"""
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbOptimizeTest(AppEvent):
    """Compute the next split of one bandit test. `currentVariantWeights`: what a person saw who asks for it."""

    EVENT_NAME: ClassVar[str] = "ab.optimizeTest"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_id": "testId",
        "algorithm": "algorithm",
        "epsilon": "epsilon",
        "current_variant_weights": "currentVariantWeights",
        "slot": "slot",
    }

    test_id: str
    """minLength 1; maxLength 255"""
    algorithm: Literal["mab", "thompson", "epsilon_greedy"]
    epsilon: float | None = None
    """minimum 0; maximum 0.5"""
    current_variant_weights: Mapping[str, int] | None = None
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbOrderReconcile(AppEvent):
    """Assign orders to the variants their visitors saw: one order, a span of order time, or what changed since."""

    EVENT_NAME: ClassVar[str] = "ab.orderReconcile"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "start_time": "startTime",
        "end_time": "endTime",
        "start_date": "startDate",
        "test_id": "testId",
        "order_id": "orderId",
        "slot": "slot",
    }

    start_time: datetime | None = None
    """date-time"""
    end_time: datetime | None = None
    """date-time"""
    start_date: datetime | None = None
    """date-time"""
    test_id: str | None = None
    order_id: str | None = None
    """minLength 1; maxLength 255"""
    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbOrderReconcileManual(AppEvent):
    """Judge one order anew, for one test or all, and say why."""

    EVENT_NAME: ClassVar[str] = "ab.orderReconcileManual"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "test_id": "testId",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    test_id: str | None = None
    """minLength 1; maxLength 255"""


@dataclass(frozen=True, kw_only=True)
class AbScheduleCheck(AppEvent):
    """Start and end what is due, and tell what an application changed."""

    EVENT_NAME: ClassVar[str] = "ab.scheduleCheck"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "slot": "slot",
    }

    slot: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbTestCreated(AppEvent):
    """A test was drawn up. `variants` counts them as they were announced."""

    EVENT_NAME: ClassVar[str] = "ab.testCreated"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_id": "testId",
        "name": "name",
        "variants": "variants",
    }

    test_id: str
    """minLength 1; maxLength 255"""
    name: str
    variants: int
    """minimum 0"""


@dataclass(frozen=True, kw_only=True)
class AbTestEnded(AppEvent):
    """A test is over; `winningVariant` is absent when there is none."""

    EVENT_NAME: ClassVar[str] = "ab.testEnded"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_id": "testId",
        "winning_variant": "winningVariant",
        "reason": "reason",
        "at": "at",
    }

    test_id: str
    """minLength 1; maxLength 255"""
    winning_variant: str | None = None
    """minLength 1; maxLength 255"""
    reason: Literal["scheduled", "significance", "guardrail", "manual"] | None = None
    """default 'manual'"""
    at: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AbTestMetricsAggregate(AppEvent):
    """Repair one test: recount it, judge it anew, show before and after."""

    EVENT_NAME: ClassVar[str] = "ab.testMetricsAggregate"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_id": "testId",
        "period": "period",
    }

    test_id: str
    """minLength 1; maxLength 255"""
    period: Literal["hourly", "daily", "full"]


@dataclass(frozen=True, kw_only=True)
class AbTestStarted(AppEvent):
    """A test runs, for the first time or again."""

    EVENT_NAME: ClassVar[str] = "ab.testStarted"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "test_id": "testId",
        "at": "at",
        "resumed": "resumed",
    }

    test_id: str
    """minLength 1; maxLength 255"""
    at: datetime | None = None
    """date-time"""
    resumed: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class AlertApiFailure(AppEvent):
    """A vendor's interface refuses or fails us. Needs service or source, and message or errorMessage."""

    EVENT_NAME: ClassVar[str] = "alert.apiFailure"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "severity": "severity",
        "source": "source",
        "title": "title",
        "message": "message",
        "dedupe_key": "dedupeKey",
        "context": "context",
        "metadata": "metadata",
        "occurred_at": "occurredAt",
        "resolve": "resolve",
        "url": "url",
        "service": "service",
        "endpoint": "endpoint",
        "error_code": "errorCode",
        "error_message": "errorMessage",
        "failure_count": "failureCount",
        "time_window_minutes": "timeWindowMinutes",
        "last_success_at": "lastSuccessAt",
    }

    severity: Literal["critical", "error", "warning", "info"] | None = None
    source: str | None = None
    """pattern ^[A-Za-z0-9._-]{1,50}$"""
    title: str | None = None
    """minLength 1; maxLength 150; pattern ^[^\\r\\n]*$"""
    message: str | None = None
    """minLength 1; maxLength 3000"""
    dedupe_key: str | None = None
    """minLength 1; maxLength 200; pattern ^[ -~]*$"""
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None
    """date-time"""
    resolve: bool | None = None
    """default False"""
    url: str | None = None
    """pattern ^https://"""
    service: str | None = None
    endpoint: str | None = None
    error_code: int | str | None = None
    error_message: str | None = None
    failure_count: int | None = None
    """minimum 1; default 1"""
    time_window_minutes: int | None = None
    """minimum 1; maximum 1440; default 60"""
    last_success_at: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class AlertCritical(AppEvent):
    """Wake someone. Critical by definition, whatever severity is sent."""

    EVENT_NAME: ClassVar[str] = "alert.critical"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "severity": "severity",
        "source": "source",
        "title": "title",
        "message": "message",
        "dedupe_key": "dedupeKey",
        "context": "context",
        "metadata": "metadata",
        "occurred_at": "occurredAt",
        "resolve": "resolve",
        "url": "url",
        "notify_emails": "notifyEmails",
        "notify_phones": "notifyPhones",
    }

    source: str
    """pattern ^[A-Za-z0-9._-]{1,50}$"""
    title: str
    """minLength 1; maxLength 150; pattern ^[^\\r\\n]*$"""
    message: str
    """minLength 1; maxLength 3000"""
    severity: Literal["critical", "error", "warning", "info"] | None = None
    dedupe_key: str | None = None
    """minLength 1; maxLength 200; pattern ^[ -~]*$"""
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None
    """date-time"""
    resolve: bool | None = None
    """default False"""
    url: str | None = None
    """pattern ^https://"""
    notify_emails: Sequence[str] | None = None
    """maxItems 20"""
    notify_phones: Sequence[str] | None = None
    """maxItems 20"""


@dataclass(frozen=True, kw_only=True)
class AlertSecurity(AppEvent):
    """A finding about access, keys or tampering."""

    EVENT_NAME: ClassVar[str] = "alert.security"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "severity": "severity",
        "source": "source",
        "title": "title",
        "message": "message",
        "dedupe_key": "dedupeKey",
        "context": "context",
        "metadata": "metadata",
        "occurred_at": "occurredAt",
        "resolve": "resolve",
        "url": "url",
        "alert_type": "alertType",
        "user_id": "userId",
        "email": "email",
        "ip_address": "ipAddress",
        "user_agent": "userAgent",
        "geo_location": "geoLocation",
    }

    severity: Literal["critical", "error", "warning", "info"] | None = None
    source: str | None = None
    """pattern ^[A-Za-z0-9._-]{1,50}$"""
    title: str | None = None
    """minLength 1; maxLength 150; pattern ^[^\\r\\n]*$"""
    message: str | None = None
    """minLength 1; maxLength 3000"""
    dedupe_key: str | None = None
    """minLength 1; maxLength 200; pattern ^[ -~]*$"""
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None
    """date-time"""
    resolve: bool | None = None
    """default False"""
    url: str | None = None
    """pattern ^https://"""
    alert_type: (
        Literal[
            "suspicious_login",
            "multiple_failed_logins",
            "unusual_ip",
            "permission_escalation",
            "api_key_compromise",
            "other",
        ]
        | None
    ) = None
    """default 'other'"""
    user_id: str | None = None
    email: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    geo_location: str | None = None


@dataclass(frozen=True, kw_only=True)
class AlertSystemError(AppEvent):
    """Something of ours does not work. Needs message or errorMessage, and title or errorCode."""

    EVENT_NAME: ClassVar[str] = "alert.systemError"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "severity": "severity",
        "source": "source",
        "title": "title",
        "message": "message",
        "dedupe_key": "dedupeKey",
        "context": "context",
        "metadata": "metadata",
        "occurred_at": "occurredAt",
        "resolve": "resolve",
        "url": "url",
        "error_code": "errorCode",
        "error_message": "errorMessage",
        "service": "service",
        "stack_trace": "stackTrace",
    }

    severity: Literal["critical", "error", "warning", "info"] | None = None
    source: str | None = None
    """pattern ^[A-Za-z0-9._-]{1,50}$"""
    title: str | None = None
    """minLength 1; maxLength 150; pattern ^[^\\r\\n]*$"""
    message: str | None = None
    """minLength 1; maxLength 3000"""
    dedupe_key: str | None = None
    """minLength 1; maxLength 200; pattern ^[ -~]*$"""
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None
    """date-time"""
    resolve: bool | None = None
    """default False"""
    url: str | None = None
    """pattern ^https://"""
    error_code: str | None = None
    error_message: str | None = None
    service: str | None = None
    stack_trace: str | None = None


@dataclass(frozen=True, kw_only=True)
class AlertUnusualActivity(AppEvent):
    """A business figure has left its usual range: measured (metric and values), or told (title and message)."""

    EVENT_NAME: ClassVar[str] = "alert.unusualActivity"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "severity": "severity",
        "source": "source",
        "title": "title",
        "message": "message",
        "dedupe_key": "dedupeKey",
        "context": "context",
        "metadata": "metadata",
        "occurred_at": "occurredAt",
        "resolve": "resolve",
        "url": "url",
        "activity_type": "activityType",
        "metric": "metric",
        "current_value": "currentValue",
        "normal_value": "normalValue",
        "percentage_change": "percentageChange",
        "time_window": "timeWindow",
    }

    severity: Literal["critical", "error", "warning", "info"] | None = None
    source: str | None = None
    """pattern ^[A-Za-z0-9._-]{1,50}$"""
    title: str | None = None
    """minLength 1; maxLength 150; pattern ^[^\\r\\n]*$"""
    message: str | None = None
    """minLength 1; maxLength 3000"""
    dedupe_key: str | None = None
    """minLength 1; maxLength 200; pattern ^[ -~]*$"""
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None
    """date-time"""
    resolve: bool | None = None
    """default False"""
    url: str | None = None
    """pattern ^https://"""
    activity_type: (
        Literal[
            "high_order_volume", "high_refund_rate", "unusual_traffic", "mass_unsubscribe", "bulk_data_access", "other"
        ]
        | None
    ) = None
    """default 'other'"""
    metric: str | None = None
    current_value: float | str | None = None
    normal_value: float | str | None = None
    percentage_change: float | str | None = None
    time_window: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttributionProcess(AppEvent):
    """Compute the credits of one order; harmless when repeated."""

    EVENT_NAME: ClassVar[str] = "attribution.process"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "force": "force",
        "visitor_id": "visitorId",
        "skip_ga4": "skipGA4",
        "skip_meta": "skipMeta",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    force: bool | None = None
    """default False"""
    visitor_id: str | None = None
    """minLength 1; maxLength 128"""
    skip_ga4: bool | None = None
    """default False"""
    skip_meta: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class CollectionProductsSync(AppEvent):
    """Make the member list of one collection equal to Shopify's."""

    EVENT_NAME: ClassVar[str] = "collection.productsSync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "collection_id": "collectionId",
        "shopify_collection_id": "shopifyCollectionId",
    }

    collection_id: str
    """minLength 1; maxLength 255"""
    shopify_collection_id: str | None = None
    """minLength 1; maxLength 255"""


@dataclass(frozen=True, kw_only=True)
class CollectionSync(AppEvent):
    """Read one collection from Shopify again, or all of them (`full_sync`, the default without an id)."""

    EVENT_NAME: ClassVar[str] = "collection.sync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "collection_id": "collectionId",
        "shopify_collection_id": "shopifyCollectionId",
        "full_sync": "fullSync",
        "action": "action",
        "updated_at": "updatedAt",
        "source": "source",
    }

    collection_id: str | None = None
    """minLength 1; maxLength 255"""
    shopify_collection_id: str | None = None
    """minLength 1; maxLength 255"""
    full_sync: bool | None = None
    action: Literal["update", "delete"] | None = None
    """default 'update'"""
    updated_at: datetime | None = None
    """date-time"""
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorApplicationNotifyAdmin(AppEvent):
    """Tell the team of an application, or lead its review.

    `mode`: notify; await (holds the step for the decision), remind, expire, failed (the review has failed: a
    decision
    that could not be carried out is withdrawn, and it is told) are the review workflow's.
    """

    EVENT_NAME: ClassVar[str] = "creator.application.notifyAdmin"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "application_id": "applicationId",
        "mode": "mode",
        "segment": "segment",
        "reminder_number": "reminderNumber",
        "code": "code",
        "creator_id": "creatorId",
        "creator_name": "creatorName",
        "email": "email",
        "source": "source",
    }

    application_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    mode: Literal["notify", "await", "remind", "expire", "failed"] | None = None
    """default 'notify'"""
    segment: int | None = None
    """minimum 0; maximum 3; default 0"""
    reminder_number: int | None = None
    """minimum 1; maximum 3"""
    code: str | None = None
    """maxLength 100"""
    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    creator_name: str | None = None
    email: str | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorApplicationPipelineEntry(AppEvent):
    """Make the creator's card in the pipeline, or move it forward."""

    EVENT_NAME: ClassVar[str] = "creator.application.pipelineEntry"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "application_id": "applicationId",
        "stage": "stage",
        "creator_id": "creatorId",
        "creator_name": "creatorName",
        "email": "email",
        "occurred_at": "occurredAt",
    }

    application_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    stage: Literal["new", "reviewing", "approved", "rejected", "onboarding", "active"]
    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    creator_name: str | None = None
    email: str | None = None
    occurred_at: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class CreatorApplicationProcess(AppEvent):
    """Check and register an application."""

    EVENT_NAME: ClassVar[str] = "creator.application.process"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "application_id": "applicationId",
        "orchestrated": "orchestrated",
        "creator_id": "creatorId",
        "email": "email",
        "name": "name",
        "source": "source",
        "utm_params": "utmParams",
    }

    application_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    orchestrated: bool | None = None
    """default False"""
    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    email: str | None = None
    name: str | None = None
    source: str | None = None
    """maxLength 255"""
    utm_params: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorApplicationTrack(AppEvent):
    """Count a step of the application funnel."""

    EVENT_NAME: ClassVar[str] = "creator.application.track"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "application_id": "applicationId",
        "event": "event",
        "creator_id": "creatorId",
        "email": "email",
        "metadata": "metadata",
    }

    application_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    event: Literal["submitted", "approved", "rejected", "completed_setup"]
    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    email: str | None = None
    metadata: Mapping[str, str | int | bool] | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorApplied(AppEvent):
    """Somebody has sent the application form."""

    EVENT_NAME: ClassVar[str] = "creator.applied"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "application_id": "applicationId",
        "creator_id": "creatorId",
        "email": "email",
    }

    application_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    email: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorApprovalEmail(AppEvent):
    """Send the approval with a personal log-in link."""

    EVENT_NAME: ClassVar[str] = "creator.approval.email"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "email": "email",
        "name": "name",
        "tier": "tier",
        "login_url": "loginUrl",
    }

    creator_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    email: str | None = None
    name: str | None = None
    tier: str | None = None
    login_url: str | None = None
    """maxLength 2000; pattern ^https://\\S+$"""


@dataclass(frozen=True, kw_only=True)
class CreatorApprovalProcess(AppEvent):
    """Carry out an approval. Orchestrated: its terms are those of the stored decision."""

    EVENT_NAME: ClassVar[str] = "creator.approval.process"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "application_id": "applicationId",
        "approved_by": "approvedBy",
        "tier": "tier",
        "commission_percent": "commissionPercent",
        "discount_code": "discountCode",
        "notes": "notes",
        "send_notification": "sendNotification",
        "orchestrated": "orchestrated",
    }

    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    application_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    approved_by: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system'"""
    tier: Literal["bronze", "silver", "gold", "platinum"] | None = None
    commission_percent: float | str | None = None
    discount_code: str | None = None
    """minLength 1; maxLength 64"""
    notes: str | None = None
    """maxLength 5000"""
    send_notification: bool | None = None
    """default True"""
    orchestrated: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class CreatorApproved(AppEvent):
    """A person, or the automatic rule, has approved an applicant."""

    EVENT_NAME: ClassVar[str] = "creator.approved"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "approved_by": "approvedBy",
        "application_id": "applicationId",
        "tier": "tier",
        "commission_percent": "commissionPercent",
        "discount_code": "discountCode",
        "notes": "notes",
        "send_notification": "sendNotification",
    }

    creator_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    approved_by: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system'"""
    application_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    tier: Literal["bronze", "silver", "gold", "platinum"] | None = None
    commission_percent: float | str | None = None
    """minimum 0.0; maximum 100.0"""
    discount_code: str | None = None
    """minLength 1; maxLength 64"""
    notes: str | None = None
    """maxLength 5000"""
    send_notification: bool | None = None
    """default True"""


@dataclass(frozen=True, kw_only=True)
class CreatorEmailCancel(AppEvent):
    """Stop what is still waiting for a creator."""

    EVENT_NAME: ClassVar[str] = "creator.email.cancel"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "reason": "reason",
        "email_types": "emailTypes",
        "sequence_id": "sequenceId",
    }

    creator_id: str
    """minLength 1; maxLength 255"""
    reason: Literal["status_change", "unsubscribed", "bounced", "admin_cancel", "setup_complete", "superseded"]
    email_types: Sequence[str] | None = None
    """maxItems 100"""
    sequence_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorEmailProcess(AppEvent):
    """Send what is due in the queue of creators' mails; `priority` high: the most urgent only."""

    EVENT_NAME: ClassVar[str] = "creator.email.process"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "priority": "priority",
    }

    priority: Literal["high"] | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorFileUploaded(AppEvent):
    """A creator uploaded a file (`step` process), or its video may be ready at Mux (`step` poll)."""

    EVENT_NAME: ClassVar[str] = "creator.file.uploaded"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "file_id": "fileId",
        "creator_id": "creatorId",
        "project_id": "projectId",
        "file_type": "fileType",
        "file_size": "fileSize",
        "step": "step",
        "attempt": "attempt",
        "force": "force",
    }

    file_id: str
    creator_id: str
    project_id: str
    file_type: Literal["video", "image", "document", "audio", "archive"] | None = None
    file_size: int | None = None
    step: Literal["process", "poll"] | None = None
    """default 'process'"""
    attempt: int | None = None
    force: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class CreatorRejected(AppEvent):
    """An applicant has been rejected."""

    EVENT_NAME: ClassVar[str] = "creator.rejected"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "reason": "reason",
        "application_id": "applicationId",
        "rejected_by": "rejectedBy",
        "feedback": "feedback",
        "allow_reapply": "allowReapply",
        "send_notification": "sendNotification",
    }

    creator_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    reason: str | None = None
    """maxLength 1000"""
    application_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    rejected_by: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system'"""
    feedback: str | None = None
    """maxLength 5000"""
    allow_reapply: bool | None = None
    """default True"""
    send_notification: bool | None = None
    """default True"""


@dataclass(frozen=True, kw_only=True)
class CreatorRejectionEmail(AppEvent):
    """Queue the refusal. Without `feedback` and `reason` those of the stored decision are used."""

    EVENT_NAME: ClassVar[str] = "creator.rejection.email"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "application_id": "applicationId",
        "email": "email",
        "name": "name",
        "reason": "reason",
        "feedback": "feedback",
        "allow_reapply": "allowReapply",
    }

    allow_reapply: bool
    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    application_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    email: str | None = None
    name: str | None = None
    reason: str | None = None
    """maxLength 1000"""
    feedback: str | None = None
    """maxLength 5000"""


@dataclass(frozen=True, kw_only=True)
class CreatorRejectionProcess(AppEvent):
    """Carry out a rejection. Orchestrated: its terms are those of the stored decision."""

    EVENT_NAME: ClassVar[str] = "creator.rejection.process"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "application_id": "applicationId",
        "rejected_by": "rejectedBy",
        "reason": "reason",
        "feedback": "feedback",
        "allow_reapply": "allowReapply",
        "send_notification": "sendNotification",
        "orchestrated": "orchestrated",
    }

    creator_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    application_id: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    rejected_by: str | None = None
    """minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system'"""
    reason: str | None = None
    """maxLength 1000"""
    feedback: str | None = None
    """maxLength 5000"""
    allow_reapply: bool | None = None
    """default True"""
    send_notification: bool | None = None
    """default True"""
    orchestrated: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class CreatorShipmentSync(AppEvent):
    """Read the state of one parcel (`shipment_id`), or of all open ones."""

    EVENT_NAME: ClassVar[str] = "creator.shipmentSync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "shipment_id": "shipmentId",
        "full_sync": "fullSync",
    }

    shipment_id: str | None = None
    """uuid"""
    full_sync: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class CreatorSlackNotification(AppEvent):
    """Post one creator event to the channel that the tenant chose for it."""

    EVENT_NAME: ClassVar[str] = "creator.slackNotification"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "notification_type": "notificationType",
        "creator_id": "creatorId",
        "creator_name": "creatorName",
        "creator_email": "creatorEmail",
        "metadata": "metadata",
    }

    notification_type: Literal[
        "application_received",
        "application_approved",
        "welcome_call_booked",
        "escalation",
        "product_shipped",
        "product_received",
        "contract_sent",
        "contract_signed",
        "content_submitted",
        "content_revisions_requested",
    ]
    creator_id: str
    """minLength 1; maxLength 255; pattern ^[ -~]+$"""
    creator_name: str | None = None
    creator_email: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CreatorWelcomeSequence(AppEvent):
    """Plan the welcome mails of a creator who was just approved."""

    EVENT_NAME: ClassVar[str] = "creator.welcomeSequence"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "creator_id": "creatorId",
        "welcome_call_scheduled": "welcomeCallScheduled",
    }

    creator_id: str
    """minLength 1; maxLength 255"""
    welcome_call_scheduled: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class CustomerCreated(AppEvent):
    """A customer was seen for the first time."""

    EVENT_NAME: ClassVar[str] = "customer.created"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "customer_id": "customerId",
        "email": "email",
        "shopify_customer_id": "shopifyCustomerId",
        "attempt": "attempt",
    }

    customer_id: str
    """minLength 1; maxLength 255"""
    email: str
    shopify_customer_id: str | None = None
    """minLength 1; maxLength 255"""
    attempt: int | None = None
    """minimum 1"""


@dataclass(frozen=True, kw_only=True)
class CustomerSync(AppEvent):
    """Bring one customer to Shopify's present state. One of the two ids is required."""

    EVENT_NAME: ClassVar[str] = "customer.sync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "shopify_customer_id": "shopifyCustomerId",
        "customer_id": "customerId",
        "action": "action",
        "updated_at": "updatedAt",
        "source": "source",
    }

    shopify_customer_id: str | None = None
    """minLength 1; maxLength 255"""
    customer_id: str | None = None
    """minLength 1; maxLength 255"""
    action: Literal["create", "update", "delete"] | None = None
    """default 'update'"""
    updated_at: datetime | None = None
    """date-time"""
    source: Literal["webhook", "app", "batch", "job"] | None = None


@dataclass(frozen=True, kw_only=True)
class CustomerSyncBatch(AppEvent):
    """Bring many customers to Shopify's present state: by list, changed since an instant, or all."""

    EVENT_NAME: ClassVar[str] = "customer.syncBatch"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "sync_run_id": "syncRunId",
        "step": "step",
        "attempt": "attempt",
        "restarts": "restarts",
        "mode": "mode",
        "customer_ids": "customerIds",
        "shopify_customer_ids": "shopifyCustomerIds",
        "created_since": "createdSince",
        "updated_since": "updatedSince",
        "source": "source",
    }

    sync_run_id: str | None = None
    """uuid"""
    step: Literal["start", "poll", "load", "merge", "reconcile"] | None = None
    attempt: int | None = None
    """minimum 0"""
    restarts: int | None = None
    """minimum 0"""
    mode: Literal["full", "delta"] | None = None
    customer_ids: Sequence[str] | None = None
    shopify_customer_ids: Sequence[str] | None = None
    created_since: datetime | None = None
    """date-time"""
    updated_since: datetime | None = None
    """date-time"""
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class CustomerUpdated(AppEvent):
    """A customer has changed."""

    EVENT_NAME: ClassVar[str] = "customer.updated"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "customer_id": "customerId",
        "changes": "changes",
        "synced": "synced",
    }

    customer_id: str
    """minLength 1; maxLength 255"""
    changes: Mapping[str, Any]
    synced: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class DamMuxBackfill(AppEvent):
    """Create Mux assets for library videos that have none (`step` create), or ask how they stand (`step` poll)."""

    EVENT_NAME: ClassVar[str] = "dam.muxBackfill"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "limit": "limit",
        "asset_ids": "assetIds",
        "step": "step",
        "attempt": "attempt",
        "source": "source",
    }

    limit: int | None = None
    """minimum 1; maximum 200"""
    asset_ids: Sequence[str] | None = None
    """maxItems 200"""
    step: Literal["create", "poll"] | None = None
    """default 'create'"""
    attempt: int | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class GoogleFeedImageOptimizeImageOptions(Part):
    """How a copy is to look; without options an image that meets Google's rules is left as it is."""

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "remove_background": "removeBackground",
        "target_width": "targetWidth",
        "target_height": "targetHeight",
        "format": "format",
        "quality": "quality",
    }

    remove_background: bool | None = None
    """default False"""
    target_width: int | None = None
    """minimum 100; maximum 4000; default 1500"""
    target_height: int | None = None
    """minimum 100; maximum 4000; default 1500"""
    format: Literal["jpeg", "png", "webp"] | None = None
    """default 'jpeg'"""
    quality: int | None = None
    """minimum 40; maximum 95; default 85"""


@dataclass(frozen=True, kw_only=True)
class GoogleFeedImageOptimize(AppEvent):
    """Check one product image against Google's requirements and make a conforming copy where it needs one."""

    EVENT_NAME: ClassVar[str] = "googleFeed.imageOptimize"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "product_id": "productId",
        "image_url": "imageUrl",
        "variant_id": "variantId",
        "options": "options",
    }

    product_id: str
    """minLength 1; maxLength 255"""
    image_url: str
    """minLength 1; maxLength 2000"""
    variant_id: str | None = None
    """minLength 1; maxLength 255"""
    options: GoogleFeedImageOptimizeImageOptions | None = None


@dataclass(frozen=True, kw_only=True)
class GoogleFeedProductUpdate(AppEvent):
    """Send or remove the offers of one product soon after a change."""

    EVENT_NAME: ClassVar[str] = "googleFeed.productUpdate"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "product_id": "productId",
        "variant_id": "variantId",
        "action": "action",
    }

    product_id: str
    """minLength 1; maxLength 255"""
    action: Literal["update", "delete"]
    variant_id: str | None = None
    """minLength 1; maxLength 255"""


@dataclass(frozen=True, kw_only=True)
class GoogleFeedSync(AppEvent):
    """Compare the whole feed with what Google holds; with `full_sync` false only what moved since the last time."""

    EVENT_NAME: ClassVar[str] = "googleFeed.sync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "full_sync": "fullSync",
        "triggered_by": "triggeredBy",
        "sync_id": "syncId",
        "step": "step",
    }

    full_sync: bool | None = None
    """default True"""
    triggered_by: Literal["schedule", "manual", "webhook"] | None = None
    """default 'schedule'"""
    sync_id: str | None = None
    """uuid"""
    step: Literal["prepare", "send", "delete", "finish", "status"] | None = None
    """default 'prepare'"""


@dataclass(frozen=True, kw_only=True)
class InventorySync(AppEvent):
    """Ask for stock to be synchronised: of a variant, a product, a location, or everywhere."""

    EVENT_NAME: ClassVar[str] = "inventory.sync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "product_id": "productId",
        "variant_id": "variantId",
        "location_id": "locationId",
        "full_sync": "fullSync",
        "source": "source",
    }

    product_id: str | None = None
    """minLength 1; maxLength 255"""
    variant_id: str | None = None
    """minLength 1; maxLength 255"""
    location_id: str | None = None
    """minLength 1; maxLength 255"""
    full_sync: bool | None = None
    """default False"""
    source: Literal["schedule", "manual"] | None = None
    """default 'manual'"""


@dataclass(frozen=True, kw_only=True)
class InventorySyncBatch(AppEvent):
    """Bring stock levels up to date: of products, of a location, or what has changed."""

    EVENT_NAME: ClassVar[str] = "inventory.syncBatch"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "sync_run_id": "syncRunId",
        "step": "step",
        "attempt": "attempt",
        "restarts": "restarts",
        "location_id": "locationId",
        "full_sync": "fullSync",
        "product_ids": "productIds",
        "cursor": "cursor",
    }

    sync_run_id: str | None = None
    """uuid"""
    step: Literal["start", "poll", "load", "merge", "reconcile"] | None = None
    attempt: int | None = None
    """minimum 0"""
    restarts: int | None = None
    """minimum 0"""
    location_id: str | None = None
    """minLength 1; maxLength 255"""
    full_sync: bool | None = None
    """default False"""
    product_ids: Sequence[str] | None = None
    cursor: Any | None = None


@dataclass(frozen=True, kw_only=True)
class InventoryUpdate(AppEvent):
    """Stock of one item at one location: observed (`available` at `updated_at`), or to be changed by the app."""

    EVENT_NAME: ClassVar[str] = "inventory.update"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "inventory_item_id": "inventoryItemId",
        "shopify_location_id": "shopifyLocationId",
        "location_id": "locationId",
        "available": "available",
        "updated_at": "updatedAt",
        "shopify_variant_id": "shopifyVariantId",
        "variant_id": "variantId",
        "product_id": "productId",
        "quantity_adjustment": "quantityAdjustment",
        "new_quantity": "newQuantity",
        "reason": "reason",
        "requested_by": "requestedBy",
    }

    inventory_item_id: str | None = None
    """minLength 1; maxLength 255"""
    shopify_location_id: str | None = None
    """minLength 1; maxLength 255"""
    location_id: str | None = None
    """minLength 1; maxLength 255"""
    available: int | None = None
    """minimum -2147483648; maximum 2147483647"""
    updated_at: datetime | None = None
    """date-time"""
    shopify_variant_id: str | None = None
    """minLength 1; maxLength 255"""
    variant_id: str | None = None
    """minLength 1; maxLength 255"""
    product_id: str | None = None
    """minLength 1; maxLength 255"""
    quantity_adjustment: int | None = None
    """minimum -2147483648; maximum 2147483647"""
    new_quantity: int | None = None
    """minimum 0; maximum 2147483647"""
    reason: (
        Literal[
            "correction",
            "cycle_count_available",
            "damaged",
            "received",
            "restock",
            "promotion",
            "quality_control",
            "shrinkage",
            "other",
        ]
        | None
    ) = None
    """default 'correction'"""
    requested_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class KlaviyoSync(AppEvent):
    """Bring Klaviyo up to date: profiles, events, lists or all of them."""

    EVENT_NAME: ClassVar[str] = "klaviyo.sync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "sync_type": "syncType",
        "customer_ids": "customerIds",
        "updated_since": "updatedSince",
        "step": "step",
        "attempt": "attempt",
    }

    sync_type: Literal["profiles", "events", "lists", "all"] | None = None
    """default 'all'"""
    customer_ids: Sequence[str] | None = None
    """maxItems 1000"""
    updated_since: datetime | None = None
    """date-time"""
    step: Literal["run", "check"] | None = None
    """default 'run'"""
    attempt: int | None = None


@dataclass(frozen=True, kw_only=True)
class OrderAttribution(AppEvent):
    """Derive the marketing source of an order."""

    EVENT_NAME: ClassVar[str] = "order.attribution"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "customer_id": "customerId",
        "session_id": "sessionId",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    customer_id: str | None = None
    """minLength 1; maxLength 255"""
    session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class OrderCancelled(AppEvent):
    """An order was cancelled."""

    EVENT_NAME: ClassVar[str] = "order.cancelled"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "reason": "reason",
        "refund_amount": "refundAmount",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    reason: str | None = None
    refund_amount: float | None = None


@dataclass(frozen=True, kw_only=True)
class OrderCommission(AppEvent):
    """Compute the creator's commission of an order anew; the other fields are hints of older publishers."""

    EVENT_NAME: ClassVar[str] = "order.commission"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "discount_code": "discountCode",
        "order_total": "orderTotal",
        "currency": "currency",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    discount_code: str | None = None
    order_total: float | None = None
    currency: str | None = None


@dataclass(frozen=True, kw_only=True)
class OrderCreated(AppEvent):
    """An order was seen for the first time."""

    EVENT_NAME: ClassVar[str] = "order.created"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "shopify_order_id": "shopifyOrderId",
        "customer_id": "customerId",
        "total_amount": "totalAmount",
        "currency": "currency",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    total_amount: float
    shopify_order_id: str | None = None
    """minLength 1; maxLength 255"""
    customer_id: str | None = None
    """minLength 1; maxLength 255"""
    currency: str | None = None


@dataclass(frozen=True, kw_only=True)
class OrderFulfilled(AppEvent):
    """A fulfilment of an order was made, or, with deliveredAt, delivered."""

    EVENT_NAME: ClassVar[str] = "order.fulfilled"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "fulfillment_id": "fulfillmentId",
        "tracking_number": "trackingNumber",
        "carrier": "carrier",
        "delivered_at": "deliveredAt",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    fulfillment_id: str
    """minLength 1; maxLength 255"""
    tracking_number: str | None = None
    carrier: str | None = None
    delivered_at: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class OrderReconcile(AppEvent):
    """Compare what Shopify changed with what we hold, and bring in what differs."""

    EVENT_NAME: ClassVar[str] = "order.reconcile"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "lookback_hours": "lookbackHours",
        "max_orders": "maxOrders",
        "deep": "deep",
    }

    lookback_hours: int | None = None
    """minimum 1; maximum 168; default 2"""
    max_orders: int | None = None
    """minimum 1; default 500"""
    deep: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class OrderRefunded(AppEvent):
    """One refund of an order, told once."""

    EVENT_NAME: ClassVar[str] = "order.refunded"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "refund_id": "refundId",
        "refund_amount_cents": "refundAmountCents",
        "currency": "currency",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    refund_id: str
    """minLength 1; maxLength 255"""
    refund_amount_cents: int
    """exclusiveMinimum 0"""
    currency: str | None = None


@dataclass(frozen=True, kw_only=True)
class OrderReviewEmail(AppEvent):
    """Find the place of an order in the queue of review requests; idempotent."""

    EVENT_NAME: ClassVar[str] = "order.reviewEmail"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "customer_id": "customerId",
        "customer_email": "customerEmail",
        "fulfillment_id": "fulfillmentId",
        "fulfilled_at": "fulfilledAt",
        "delivered_at": "deliveredAt",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    customer_id: str | None = None
    """minLength 1; maxLength 255"""
    customer_email: str | None = None
    fulfillment_id: str | None = None
    """minLength 1; maxLength 255"""
    fulfilled_at: datetime | None = None
    """date-time"""
    delivered_at: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class OrderSync(AppEvent):
    """Bring one order to Shopify's present state. One of orderId and shopifyOrderId is required."""

    EVENT_NAME: ClassVar[str] = "order.sync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "shopify_order_id": "shopifyOrderId",
        "source": "source",
        "updated_at": "updatedAt",
    }

    order_id: str | None = None
    """minLength 1; maxLength 255"""
    shopify_order_id: str | None = None
    """minLength 1; maxLength 255"""
    source: Literal["webhook", "manual", "reconciliation", "app", "job"] | None = None
    """default 'webhook'"""
    updated_at: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class OrderSyncBatch(AppEvent):
    """Backfill or repair many orders, by list or by window; with runId the next step of a run.

    A date stands for tenant-local midnight (startDate) or the end of that day (endDate). An empty message is
    refused: it must not import a whole shop.
    """

    EVENT_NAME: ClassVar[str] = "order.syncBatch"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_ids": "orderIds",
        "shopify_order_ids": "shopifyOrderIds",
        "start_date": "startDate",
        "end_date": "endDate",
        "window_by": "windowBy",
        "limit": "limit",
        "cursor": "cursor",
        "announce": "announce",
        "source": "source",
        "run_id": "runId",
        "slice_no": "sliceNo",
        "step": "step",
        "poll_count": "pollCount",
        "restarts": "restarts",
    }

    order_ids: Sequence[str] | None = None
    shopify_order_ids: Sequence[str] | None = None
    start_date: datetime | date | None = None
    """date-time; date"""
    end_date: datetime | date | None = None
    """date-time; date"""
    window_by: Literal["created", "updated", "either"] | None = None
    limit: int | None = None
    """minimum 1; maximum 250"""
    cursor: str | None = None
    announce: Literal["recent", "none"] | None = None
    source: str | None = None
    """default 'app'"""
    run_id: str | None = None
    """uuid"""
    slice_no: int | None = None
    """minimum 0"""
    step: Literal["start", "export", "poll", "load", "details"] | None = None
    """default 'start'"""
    poll_count: int | None = None
    """minimum 0"""
    restarts: int | None = None
    """minimum 0"""


@dataclass(frozen=True, kw_only=True)
class PayoutCheckDomestic(AppEvent):
    """Look up at Stripe how a payout (`payout_id`), or every pending one, stands."""

    EVENT_NAME: ClassVar[str] = "payout.checkDomestic"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "payout_type": "payoutType",
        "limit": "limit",
        "payout_id": "payoutId",
        "tick": "tick",
    }

    payout_type: Literal["domestic"] | None = None
    limit: int | None = None
    """minimum 1; maximum 500"""
    payout_id: str | None = None
    tick: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class PayoutCheckInternational(AppEvent):
    """Look up at Wise how a payout (`payout_id`), or every pending one, stands."""

    EVENT_NAME: ClassVar[str] = "payout.checkInternational"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "payout_type": "payoutType",
        "limit": "limit",
        "payout_id": "payoutId",
        "tick": "tick",
    }

    payout_type: Literal["international"] | None = None
    limit: int | None = None
    """minimum 1; maximum 500"""
    payout_id: str | None = None
    tick: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class ProductSync(AppEvent):
    """Ask for products to be synchronised: one, all of them, or what has changed."""

    EVENT_NAME: ClassVar[str] = "product.sync"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "product_id": "productId",
        "full_sync": "fullSync",
        "source": "source",
    }

    product_id: str | None = None
    """minLength 1; maxLength 255"""
    full_sync: bool | None = None
    """default False"""
    source: Literal["schedule", "manual", "install", "job"] | None = None
    """default 'manual'"""


@dataclass(frozen=True, kw_only=True)
class ProductSyncBatch(AppEvent):
    """Synchronise many products: by list, by collection, by change date, or (without any) what has changed."""

    EVENT_NAME: ClassVar[str] = "product.syncBatch"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "sync_run_id": "syncRunId",
        "step": "step",
        "attempt": "attempt",
        "restarts": "restarts",
        "product_ids": "productIds",
        "shopify_product_ids": "shopifyProductIds",
        "collection_id": "collectionId",
        "updated_since": "updatedSince",
    }

    sync_run_id: str | None = None
    """uuid"""
    step: Literal["start", "poll", "load", "merge", "reconcile"] | None = None
    attempt: int | None = None
    """minimum 0"""
    restarts: int | None = None
    """minimum 0"""
    product_ids: Sequence[str] | None = None
    shopify_product_ids: Sequence[str] | None = None
    collection_id: str | None = None
    """minLength 1; maxLength 255"""
    updated_since: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class ProductSyncOne(AppEvent):
    """Read one product from Shopify again; one of the two ids is required."""

    EVENT_NAME: ClassVar[str] = "product.syncOne"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "shopify_product_id": "shopifyProductId",
        "product_id": "productId",
        "action": "action",
        "updated_at": "updatedAt",
        "source": "source",
    }

    shopify_product_id: str | None = None
    """minLength 1; maxLength 255"""
    product_id: str | None = None
    """minLength 1; maxLength 255"""
    action: Literal["create", "update", "delete"] | None = None
    """default 'update'"""
    updated_at: datetime | None = None
    """date-time"""
    source: Literal["webhook", "manual", "batch", "job"] | None = None
    """default 'webhook'"""


@dataclass(frozen=True, kw_only=True)
class ReviewEmailQueued(AppEvent):
    """A review mail has its time, or an application asks for one."""

    EVENT_NAME: ClassVar[str] = "review.email.queued"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "review_email_id": "reviewEmailId",
        "order_id": "orderId",
        "customer_id": "customerId",
        "template_id": "templateId",
        "scheduled_for": "scheduledFor",
    }

    review_email_id: str
    """minLength 1; maxLength 255"""
    order_id: str
    """minLength 1; maxLength 255"""
    customer_id: str
    template_id: str
    """minLength 1; maxLength 255"""
    scheduled_for: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class ReviewEmailSent(AppEvent):
    """A review mail is out."""

    EVENT_NAME: ClassVar[str] = "review.email.sent"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "review_email_id": "reviewEmailId",
        "message_id": "messageId",
    }

    review_email_id: str
    """minLength 1; maxLength 255"""
    message_id: str | None = None
    """minLength 1; maxLength 255"""


@dataclass(frozen=True, kw_only=True)
class ReviewEmailAwaitingDelivery(AppEvent):
    """Move on requests whose parcel has arrived, or surely must have."""

    EVENT_NAME: ClassVar[str] = "review.emailAwaitingDelivery"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "days_waiting": "daysWaiting",
    }

    days_waiting: int | None = None
    """minimum 1; maximum 60; default 14"""


@dataclass(frozen=True, kw_only=True)
class ReviewEmailQueue(AppEvent):
    """Send every review mail that is due."""

    EVENT_NAME: ClassVar[str] = "review.emailQueue"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "limit": "limit",
        "dry_run": "dryRun",
    }

    limit: int | None = None
    """minimum 1; maximum 200; default 50"""
    dry_run: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class ReviewEmailRetry(AppEvent):
    """Put failed review mails back into the queue whose waiting time is over."""

    EVENT_NAME: ClassVar[str] = "review.emailRetry"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "max_retries": "maxRetries",
        "limit": "limit",
    }

    max_retries: int | None = None
    """minimum 1; maximum 10; default 5"""
    limit: int | None = None
    """minimum 1; maximum 500; default 25"""


@dataclass(frozen=True, kw_only=True)
class ReviewEmailSend(AppEvent):
    """Send one review mail now."""

    EVENT_NAME: ClassVar[str] = "review.emailSend"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "review_email_id": "reviewEmailId",
        "order_id": "orderId",
        "force": "force",
        "requested_by": "requestedBy",
    }

    review_email_id: str
    """minLength 1; maxLength 255"""
    order_id: str | None = None
    """minLength 1; maxLength 255"""
    force: bool | None = None
    """default False"""
    requested_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewEmailStats(AppEvent):
    """Compute what the review mails of a period achieved; by default of the 30 complete local days before today."""

    EVENT_NAME: ClassVar[str] = "review.emailStats"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "start_date": "startDate",
        "end_date": "endDate",
    }

    start_date: date | None = None
    """date"""
    end_date: date | None = None
    """date"""


@dataclass(frozen=True, kw_only=True)
class ReviewModerated(AppEvent):
    """Somebody decided about a review."""

    EVENT_NAME: ClassVar[str] = "review.moderated"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "review_id": "reviewId",
        "action": "action",
        "reviewer_email": "reviewerEmail",
        "reviewer_name": "reviewerName",
        "product_title": "productTitle",
    }

    review_id: str
    """minLength 1; maxLength 255"""
    action: Literal["approve", "reject", "spam"]
    reviewer_email: str | None = None
    reviewer_name: str | None = None
    product_title: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewReminder(AppEvent):
    """Schedule the next reminder of an order; reminder n has sequence number n + 1."""

    EVENT_NAME: ClassVar[str] = "review.reminder"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "order_id": "orderId",
        "reminder_number": "reminderNumber",
        "review_email_id": "reviewEmailId",
    }

    order_id: str
    """minLength 1; maxLength 255"""
    reminder_number: int
    """minimum 1"""
    review_email_id: str | None = None
    """minLength 1; maxLength 255"""


@dataclass(frozen=True, kw_only=True)
class SmsDeliveryStatus(AppEvent):
    """Twilio reported the state of a message."""

    EVENT_NAME: ClassVar[str] = "sms.deliveryStatus"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "message_sid": "messageSid",
        "message_status": "messageStatus",
        "error_code": "errorCode",
        "sms_queue_id": "smsQueueId",
        "received_at": "receivedAt",
    }

    message_sid: str
    """pattern ^(SM|MM)[0-9a-fA-F]{32}$"""
    message_status: Literal[
        "accepted",
        "scheduled",
        "queued",
        "sending",
        "sent",
        "delivered",
        "undelivered",
        "failed",
        "canceled",
        "read",
        "receiving",
        "received",
        "partially_delivered",
    ]
    error_code: int | None = None
    sms_queue_id: str | None = None
    """uuid"""
    received_at: datetime | None = None
    """date-time"""


@dataclass(frozen=True, kw_only=True)
class SmsSend(AppEvent):
    """Send one text message in the tenant's account, or take up a queued one. Needs smsQueueId, or a number and a
    text or template.
    """

    EVENT_NAME: ClassVar[str] = "sms.send"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "to": "to",
        "message": "message",
        "template_id": "templateId",
        "template_vars": "templateVars",
        "sms_queue_id": "smsQueueId",
        "notification_type": "notificationType",
        "recipient_type": "recipientType",
        "recipient_id": "recipientId",
        "recipient_name": "recipientName",
        "from_number": "from",
        "scheduled_for": "scheduledFor",
        "dedupe_key": "dedupeKey",
        "correlation_id": "correlationId",
        "priority": "priority",
        "skip_consent_check": "skipConsentCheck",
    }

    to: str | None = None
    message: str | None = None
    template_id: str | None = None
    template_vars: Mapping[str, str] | None = None
    sms_queue_id: str | None = None
    """uuid"""
    notification_type: str | None = None
    recipient_type: Literal["customer", "creator", "contractor", "vendor", "team"] | None = None
    recipient_id: str | None = None
    recipient_name: str | None = None
    from_number: str | None = None
    scheduled_for: datetime | None = None
    """date-time"""
    dedupe_key: str | None = None
    correlation_id: str | None = None
    priority: Literal["high", "normal", "low"] | None = None
    skip_consent_check: bool | None = None


@dataclass(frozen=True, kw_only=True)
class SubscriptionBilling(AppEvent):
    """Charge a subscription (`step` charge), or settle a charge whose outcome the vendor knows (`step` settle)."""

    EVENT_NAME: ClassVar[str] = "subscription.billing"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "subscription_id": "subscriptionId",
        "billing_date": "billingDate",
        "step": "step",
        "charge_id": "chargeId",
        "reason": "reason",
        "poll": "poll",
        "idempotency_key": "idempotencyKey",
        "period_start": "periodStart",
        "period_end": "periodEnd",
    }

    subscription_id: str | None = None
    billing_date: date | None = None
    """date"""
    step: Literal["charge", "settle"] | None = None
    """default 'charge'"""
    charge_id: str | None = None
    """uuid"""
    reason: Literal["daily", "retry", "catchup", "manual", "payment_method_updated", "webhook"] | None = None
    """default 'manual'"""
    poll: int | None = None
    """minimum 1; maximum 4"""
    idempotency_key: str | None = None
    period_start: date | None = None
    """date"""
    period_end: date | None = None
    """date"""


@dataclass(frozen=True, kw_only=True)
class SubscriptionPaymentFailed(AppEvent):
    """A charge failed or needs the customer; the subscription or one of the vendors' ids is required."""

    EVENT_NAME: ClassVar[str] = "subscription.paymentFailed"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "subscription_id": "subscriptionId",
        "charge_id": "chargeId",
        "attempt_id": "attemptId",
        "shopify_billing_attempt_id": "shopifyBillingAttemptId",
        "stripe_payment_intent_id": "stripePaymentIntentId",
        "step": "step",
        "cycle_number": "cycleNumber",
        "failure_class": "class",
        "code": "code",
        "source": "source",
    }

    subscription_id: str | None = None
    charge_id: str | None = None
    """uuid"""
    attempt_id: str | None = None
    """uuid"""
    shopify_billing_attempt_id: str | None = None
    """minLength 1; maxLength 255"""
    stripe_payment_intent_id: str | None = None
    step: Literal["failure", "notice", "deadline"] | None = None
    """default 'failure'"""
    cycle_number: int | None = None
    failure_class: str | None = None
    code: str | None = None
    source: Literal["job", "webhook"] | None = None


@dataclass(frozen=True, kw_only=True)
class TreasuryTopup(AppEvent):
    """A Stripe top-up ended; the listener reads it from Stripe."""

    EVENT_NAME: ClassVar[str] = "treasury.topup"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "topup_id": "topupId",
        "amount": "amount",
        "currency": "currency",
        "stripe_topup_id": "stripeTopupId",
        "status": "status",
        "source": "source",
    }

    topup_id: str
    amount: int
    currency: str
    """pattern ^[A-Z]{3}$"""
    stripe_topup_id: str | None = None
    status: Literal["succeeded", "reversed"] | None = None
    """default 'succeeded'"""
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class VideoUploadCompleted(AppEvent):
    """A recording is ready to be transcribed (`step` start), or its transcript may be ready (`step` poll)."""

    EVENT_NAME: ClassVar[str] = "video.uploadCompleted"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "video_id": "videoId",
        "project_id": "projectId",
        "creator_id": "creatorId",
        "playback_id": "playbackId",
        "duration": "duration",
        "size": "size",
        "source": "source",
        "step": "step",
        "attempt": "attempt",
        "force": "force",
    }

    video_id: str
    project_id: str | None = None
    creator_id: str | None = None
    playback_id: str | None = None
    duration: float | None = None
    size: int | None = None
    source: str | None = None
    step: Literal["start", "poll"] | None = None
    """default 'start'"""
    attempt: int | None = None
    force: bool | None = None
    """default False"""


@dataclass(frozen=True, kw_only=True)
class WebhookReceived(AppEvent):
    """A vendor's webhook, its signature verified by the app.

    Exactly one form: `webhook_event_id` (the app stored the row), `delivery_id` (an outbound delivery of ours), or
    `provider`, `topic` and `body` (nothing is stored yet).
    """

    EVENT_NAME: ClassVar[str] = "webhook.received"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "webhook_event_id": "webhookEventId",
        "delivery_id": "deliveryId",
        "attempt": "attempt",
        "provider": "provider",
        "topic": "topic",
        "external_id": "externalId",
        "event_id": "eventId",
        "account": "account",
        "triggered_at": "triggeredAt",
        "received_at": "receivedAt",
        "body": "body",
    }

    webhook_event_id: str | None = None
    """uuid"""
    delivery_id: str | None = None
    """uuid"""
    attempt: int | None = None
    provider: Literal["shopify", "stripe", "wise", "resend", "twilio", "mux", "assemblyai"] | None = None
    topic: str | None = None
    """minLength 1; maxLength 100"""
    external_id: str | None = None
    """minLength 1; maxLength 255"""
    event_id: str | None = None
    """minLength 1; maxLength 255"""
    account: str | None = None
    """minLength 1; maxLength 255"""
    triggered_at: datetime | None = None
    """date-time"""
    received_at: datetime | None = None
    """date-time"""
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookRetry(AppEvent):
    """A stored webhook or an outbound delivery that is due again: `webhook_event_id` or `delivery_id`.

    Published when a person requeues a dead row, and by the schedule that looks for rows that are due.
    """

    EVENT_NAME: ClassVar[str] = "webhook.retry"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "webhook_event_id": "webhookEventId",
        "delivery_id": "deliveryId",
        "attempt": "attempt",
        "provider": "provider",
        "topic": "topic",
        "external_id": "externalId",
        "event_id": "eventId",
        "account": "account",
        "triggered_at": "triggeredAt",
        "received_at": "receivedAt",
        "body": "body",
    }

    webhook_event_id: str | None = None
    """uuid"""
    delivery_id: str | None = None
    """uuid"""
    attempt: int | None = None
    provider: Literal["shopify", "stripe", "wise", "resend", "twilio", "mux", "assemblyai"] | None = None
    topic: str | None = None
    """minLength 1; maxLength 100"""
    external_id: str | None = None
    """minLength 1; maxLength 255"""
    event_id: str | None = None
    """minLength 1; maxLength 255"""
    account: str | None = None
    """minLength 1; maxLength 255"""
    triggered_at: datetime | None = None
    """date-time"""
    received_at: datetime | None = None
    """date-time"""
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class WorkflowTriggered(AppEvent):
    """`trigger` happened to the entity. The older form names a rule (workflowId) instead of a trigger."""

    EVENT_NAME: ClassVar[str] = "workflow.triggered"

    WIRE_NAMES: ClassVar[Mapping[str, str]] = {
        "trigger": "trigger",
        "entity_type": "entityType",
        "entity_id": "entityId",
        "context": "context",
        "workflow_id": "workflowId",
        "trigger_id": "triggerId",
    }

    trigger: str | None = None
    """pattern ^[a-zA-Z0-9._]{1,100}$"""
    entity_type: str | None = None
    entity_id: str | None = None
    """minLength 1; maxLength 255"""
    context: Mapping[str, Any] | None = None
    workflow_id: str | None = None
    trigger_id: str | None = None


APP_EVENTS: Mapping[str, type[AppEvent]] = {
    "ab.counterSync": AbCounterSync,
    "ab.dailySummary": AbDailySummary,
    "ab.metricsAggregate": AbMetricsAggregate,
    "ab.nightlyReconcile": AbNightlyReconcile,
    "ab.optimizationSummary": AbOptimizationSummary,
    "ab.optimize": AbOptimize,
    "ab.optimizeTest": AbOptimizeTest,
    "ab.orderReconcile": AbOrderReconcile,
    "ab.orderReconcileManual": AbOrderReconcileManual,
    "ab.scheduleCheck": AbScheduleCheck,
    "ab.testCreated": AbTestCreated,
    "ab.testEnded": AbTestEnded,
    "ab.testMetricsAggregate": AbTestMetricsAggregate,
    "ab.testStarted": AbTestStarted,
    "alert.apiFailure": AlertApiFailure,
    "alert.critical": AlertCritical,
    "alert.security": AlertSecurity,
    "alert.systemError": AlertSystemError,
    "alert.unusualActivity": AlertUnusualActivity,
    "attribution.process": AttributionProcess,
    "collection.productsSync": CollectionProductsSync,
    "collection.sync": CollectionSync,
    "creator.application.notifyAdmin": CreatorApplicationNotifyAdmin,
    "creator.application.pipelineEntry": CreatorApplicationPipelineEntry,
    "creator.application.process": CreatorApplicationProcess,
    "creator.application.track": CreatorApplicationTrack,
    "creator.applied": CreatorApplied,
    "creator.approval.email": CreatorApprovalEmail,
    "creator.approval.process": CreatorApprovalProcess,
    "creator.approved": CreatorApproved,
    "creator.email.cancel": CreatorEmailCancel,
    "creator.email.process": CreatorEmailProcess,
    "creator.file.uploaded": CreatorFileUploaded,
    "creator.rejected": CreatorRejected,
    "creator.rejection.email": CreatorRejectionEmail,
    "creator.rejection.process": CreatorRejectionProcess,
    "creator.shipmentSync": CreatorShipmentSync,
    "creator.slackNotification": CreatorSlackNotification,
    "creator.welcomeSequence": CreatorWelcomeSequence,
    "customer.created": CustomerCreated,
    "customer.sync": CustomerSync,
    "customer.syncBatch": CustomerSyncBatch,
    "customer.updated": CustomerUpdated,
    "dam.muxBackfill": DamMuxBackfill,
    "googleFeed.imageOptimize": GoogleFeedImageOptimize,
    "googleFeed.productUpdate": GoogleFeedProductUpdate,
    "googleFeed.sync": GoogleFeedSync,
    "inventory.sync": InventorySync,
    "inventory.syncBatch": InventorySyncBatch,
    "inventory.update": InventoryUpdate,
    "klaviyo.sync": KlaviyoSync,
    "order.attribution": OrderAttribution,
    "order.cancelled": OrderCancelled,
    "order.commission": OrderCommission,
    "order.created": OrderCreated,
    "order.fulfilled": OrderFulfilled,
    "order.reconcile": OrderReconcile,
    "order.refunded": OrderRefunded,
    "order.reviewEmail": OrderReviewEmail,
    "order.sync": OrderSync,
    "order.syncBatch": OrderSyncBatch,
    "payout.checkDomestic": PayoutCheckDomestic,
    "payout.checkInternational": PayoutCheckInternational,
    "product.sync": ProductSync,
    "product.syncBatch": ProductSyncBatch,
    "product.syncOne": ProductSyncOne,
    "review.email.queued": ReviewEmailQueued,
    "review.email.sent": ReviewEmailSent,
    "review.emailAwaitingDelivery": ReviewEmailAwaitingDelivery,
    "review.emailQueue": ReviewEmailQueue,
    "review.emailRetry": ReviewEmailRetry,
    "review.emailSend": ReviewEmailSend,
    "review.emailStats": ReviewEmailStats,
    "review.moderated": ReviewModerated,
    "review.reminder": ReviewReminder,
    "sms.deliveryStatus": SmsDeliveryStatus,
    "sms.send": SmsSend,
    "subscription.billing": SubscriptionBilling,
    "subscription.paymentFailed": SubscriptionPaymentFailed,
    "treasury.topup": TreasuryTopup,
    "video.uploadCompleted": VideoUploadCompleted,
    "webhook.received": WebhookReceived,
    "webhook.retry": WebhookRetry,
    "workflow.triggered": WorkflowTriggered,
}
"""All events that applications publish, by name."""
