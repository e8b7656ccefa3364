// Generated from the jobs' contracts by `scripts/publishers`; do not edit.
//
// A member that may be left out may also be null. Text of format date-time carries an offset (or Z).

/** What applications publish, by event name. */
export interface AppEvents {
  "ab.counterSync": AbCounterSync;
  "ab.dailySummary": AbDailySummary;
  "ab.metricsAggregate": AbMetricsAggregate;
  "ab.nightlyReconcile": AbNightlyReconcile;
  "ab.optimizationSummary": AbOptimizationSummary;
  "ab.optimize": AbOptimize;
  "ab.optimizeTest": AbOptimizeTest;
  "ab.orderReconcile": AbOrderReconcile;
  "ab.orderReconcileManual": AbOrderReconcileManual;
  "ab.scheduleCheck": AbScheduleCheck;
  "ab.testCreated": AbTestCreated;
  "ab.testEnded": AbTestEnded;
  "ab.testMetricsAggregate": AbTestMetricsAggregate;
  "ab.testStarted": AbTestStarted;
  "alert.apiFailure": AlertApiFailure;
  "alert.critical": AlertCritical;
  "alert.security": AlertSecurity;
  "alert.systemError": AlertSystemError;
  "alert.unusualActivity": AlertUnusualActivity;
  "attribution.process": AttributionProcess;
  "collection.productsSync": CollectionProductsSync;
  "collection.sync": CollectionSync;
  "creator.application.notifyAdmin": CreatorApplicationNotifyAdmin;
  "creator.application.pipelineEntry": CreatorApplicationPipelineEntry;
  "creator.application.process": CreatorApplicationProcess;
  "creator.application.track": CreatorApplicationTrack;
  "creator.applied": CreatorApplied;
  "creator.approval.email": CreatorApprovalEmail;
  "creator.approval.process": CreatorApprovalProcess;
  "creator.approved": CreatorApproved;
  "creator.email.cancel": CreatorEmailCancel;
  "creator.email.process": CreatorEmailProcess;
  "creator.file.uploaded": CreatorFileUploaded;
  "creator.rejected": CreatorRejected;
  "creator.rejection.email": CreatorRejectionEmail;
  "creator.rejection.process": CreatorRejectionProcess;
  "creator.shipmentSync": CreatorShipmentSync;
  "creator.slackNotification": CreatorSlackNotification;
  "creator.welcomeSequence": CreatorWelcomeSequence;
  "customer.created": CustomerCreated;
  "customer.sync": CustomerSync;
  "customer.syncBatch": CustomerSyncBatch;
  "customer.updated": CustomerUpdated;
  "dam.muxBackfill": DamMuxBackfill;
  "googleFeed.imageOptimize": GoogleFeedImageOptimize;
  "googleFeed.productUpdate": GoogleFeedProductUpdate;
  "googleFeed.sync": GoogleFeedSync;
  "inventory.sync": InventorySync;
  "inventory.syncBatch": InventorySyncBatch;
  "inventory.update": InventoryUpdate;
  "klaviyo.sync": KlaviyoSync;
  "order.attribution": OrderAttribution;
  "order.cancelled": OrderCancelled;
  "order.commission": OrderCommission;
  "order.created": OrderCreated;
  "order.fulfilled": OrderFulfilled;
  "order.reconcile": OrderReconcile;
  "order.refunded": OrderRefunded;
  "order.reviewEmail": OrderReviewEmail;
  "order.sync": OrderSync;
  "order.syncBatch": OrderSyncBatch;
  "payout.checkDomestic": PayoutCheckDomestic;
  "payout.checkInternational": PayoutCheckInternational;
  "product.sync": ProductSync;
  "product.syncBatch": ProductSyncBatch;
  "product.syncOne": ProductSyncOne;
  "review.email.queued": ReviewEmailQueued;
  "review.email.sent": ReviewEmailSent;
  "review.emailAwaitingDelivery": ReviewEmailAwaitingDelivery;
  "review.emailQueue": ReviewEmailQueue;
  "review.emailRetry": ReviewEmailRetry;
  "review.emailSend": ReviewEmailSend;
  "review.emailStats": ReviewEmailStats;
  "review.moderated": ReviewModerated;
  "review.reminder": ReviewReminder;
  "sms.deliveryStatus": SmsDeliveryStatus;
  "sms.send": SmsSend;
  "subscription.billing": SubscriptionBilling;
  "subscription.paymentFailed": SubscriptionPaymentFailed;
  "treasury.topup": TreasuryTopup;
  "video.uploadCompleted": VideoUploadCompleted;
  "webhook.received": WebhookReceived;
  "webhook.retry": WebhookRetry;
  "workflow.triggered": WorkflowTriggered;
}

/** What the jobs publish for applications to listen to, by event name. */
export interface JobEvents {
  "ab.allocationChanged": AbAllocationChanged;
  "ab.testPaused": AbTestPaused;
  "ab.winnerDetected": AbWinnerDetected;
  "inventory.lowStock": InventoryLowStock;
  "inventory.outOfStock": InventoryOutOfStock;
  "inventory.restocked": InventoryRestocked;
  "order.backfillCompleted": OrderBackfillCompleted;
  "recovery.checkoutUpdated": RecoveryCheckoutUpdated;
}

/** Names of all events that applications publish. */
export const APP_EVENT_NAMES = [
  "ab.counterSync",
  "ab.dailySummary",
  "ab.metricsAggregate",
  "ab.nightlyReconcile",
  "ab.optimizationSummary",
  "ab.optimize",
  "ab.optimizeTest",
  "ab.orderReconcile",
  "ab.orderReconcileManual",
  "ab.scheduleCheck",
  "ab.testCreated",
  "ab.testEnded",
  "ab.testMetricsAggregate",
  "ab.testStarted",
  "alert.apiFailure",
  "alert.critical",
  "alert.security",
  "alert.systemError",
  "alert.unusualActivity",
  "attribution.process",
  "collection.productsSync",
  "collection.sync",
  "creator.application.notifyAdmin",
  "creator.application.pipelineEntry",
  "creator.application.process",
  "creator.application.track",
  "creator.applied",
  "creator.approval.email",
  "creator.approval.process",
  "creator.approved",
  "creator.email.cancel",
  "creator.email.process",
  "creator.file.uploaded",
  "creator.rejected",
  "creator.rejection.email",
  "creator.rejection.process",
  "creator.shipmentSync",
  "creator.slackNotification",
  "creator.welcomeSequence",
  "customer.created",
  "customer.sync",
  "customer.syncBatch",
  "customer.updated",
  "dam.muxBackfill",
  "googleFeed.imageOptimize",
  "googleFeed.productUpdate",
  "googleFeed.sync",
  "inventory.sync",
  "inventory.syncBatch",
  "inventory.update",
  "klaviyo.sync",
  "order.attribution",
  "order.cancelled",
  "order.commission",
  "order.created",
  "order.fulfilled",
  "order.reconcile",
  "order.refunded",
  "order.reviewEmail",
  "order.sync",
  "order.syncBatch",
  "payout.checkDomestic",
  "payout.checkInternational",
  "product.sync",
  "product.syncBatch",
  "product.syncOne",
  "review.email.queued",
  "review.email.sent",
  "review.emailAwaitingDelivery",
  "review.emailQueue",
  "review.emailRetry",
  "review.emailSend",
  "review.emailStats",
  "review.moderated",
  "review.reminder",
  "sms.deliveryStatus",
  "sms.send",
  "subscription.billing",
  "subscription.paymentFailed",
  "treasury.topup",
  "video.uploadCompleted",
  "webhook.received",
  "webhook.retry",
  "workflow.triggered",
] as const satisfies readonly (keyof AppEvents)[];

/** ab.allocationChanged: New visitors are split anew: percent by variant id. */
export interface AbAllocationChanged {
  /** minLength 1; maxLength 255 */
  testId: string;
  epoch: number;
  weights: Readonly<Record<string, number>>;
  previous: Readonly<Record<string, number>>;
}

/** ab.counterSync: Take the storefront's counters in, of some tests or of all live ones. */
export interface AbCounterSync {
  /** maxItems 200 */
  testIds?: readonly string[] | null;
  /** default False */
  forceSync?: boolean | null;
  /** date-time */
  slot?: string | null;
}

/** ab.dailySummary: Tell the team how its tests stand. */
export interface AbDailySummary {
  sendToSlack?: boolean | null;
  recipientEmail?: string | null;
  /** date-time */
  slot?: string | null;
}

/** ab.metricsAggregate: Recount the days that a span touches, and judge the tests. */
export interface AbMetricsAggregate {
  /** minLength 1; maxLength 255 */
  testId?: string | null;
  /** date-time */
  hour?: string | null;
  /** default 'hourly' */
  period?: "hourly" | "daily" | "full" | null;
  /** date-time */
  slot?: string | null;
}

/** ab.nightlyReconcile: Recount the last days from the raw rows and check the data. */
export interface AbNightlyReconcile {
  /** date */
  reconciliationDate?: string | null;
  /** default False */
  fullReconciliation?: boolean | null;
  /** date-time */
  slot?: string | null;
}

/** ab.optimizationSummary: Tell the team what the bandits did in the last day. */
export interface AbOptimizationSummary {
  /** default True */
  includeRecommendations?: boolean | null;
  /** date-time */
  slot?: string | null;
}

/** ab.optimize: Look at the guardrails, and at the bandit tests whose weights are due. */
export interface AbOptimize {
  /** minLength 1; maxLength 255 */
  testId?: string | null;
  algorithm?: "mab" | "thompson" | "epsilon_greedy" | null;
  /** minimum 0; maximum 0.5 */
  epsilon?: number | null;
  /** date-time */
  slot?: string | null;
}

/** ab.optimizeTest: Compute the next split of one bandit test. `currentVariantWeights`: what a person saw who asks for it. */
export interface AbOptimizeTest {
  /** minLength 1; maxLength 255 */
  testId: string;
  algorithm: "mab" | "thompson" | "epsilon_greedy";
  /** minimum 0; maximum 0.5 */
  epsilon?: number | null;
  currentVariantWeights?: Readonly<Record<string, number>> | null;
  /** date-time */
  slot?: string | null;
}

/** ab.orderReconcile: Assign orders to the variants their visitors saw: one order, a span of order time, or what changed since. */
export interface AbOrderReconcile {
  /** date-time */
  startTime?: string | null;
  /** date-time */
  endTime?: string | null;
  /** date-time */
  startDate?: string | null;
  testId?: string | null;
  /** minLength 1; maxLength 255 */
  orderId?: string | null;
  /** date-time */
  slot?: string | null;
}

/** ab.orderReconcileManual: Judge one order anew, for one test or all, and say why. */
export interface AbOrderReconcileManual {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** minLength 1; maxLength 255 */
  testId?: string | null;
}

/** ab.scheduleCheck: Start and end what is due, and tell what an application changed. */
export interface AbScheduleCheck {
  /** date-time */
  slot?: string | null;
}

/** ab.testCreated: A test was drawn up. `variants` counts them as they were announced. */
export interface AbTestCreated {
  /** minLength 1; maxLength 255 */
  testId: string;
  name: string;
  /** minimum 0 */
  variants: number;
}

/** ab.testEnded: A test is over; `winningVariant` is absent when there is none. */
export interface AbTestEnded {
  /** minLength 1; maxLength 255 */
  testId: string;
  /** minLength 1; maxLength 255 */
  winningVariant?: string | null;
  /** default 'manual' */
  reason?: "scheduled" | "significance" | "guardrail" | "manual" | null;
  /** date-time */
  at?: string | null;
}

/** ab.testMetricsAggregate: Repair one test: recount it, judge it anew, show before and after. */
export interface AbTestMetricsAggregate {
  /** minLength 1; maxLength 255 */
  testId: string;
  period: "hourly" | "daily" | "full";
}

/** ab.testPaused: A test stands still: an administrator, a guardrail or a wrong traffic split has paused it. */
export interface AbTestPaused {
  /** minLength 1; maxLength 255 */
  testId: string;
  reason: "manual" | "guardrail" | "srm";
  guardrailId?: string | null;
  changePercent?: number | null;
}

/** ab.testStarted: A test runs, for the first time or again. */
export interface AbTestStarted {
  /** minLength 1; maxLength 255 */
  testId: string;
  /** date-time */
  at?: string | null;
  /** default False */
  resumed?: boolean | null;
}

/** ab.winnerDetected: A test has its result. `lift` is in percent; `auto`: the test ends by itself now. */
export interface AbWinnerDetected {
  /** minLength 1; maxLength 255 */
  testId: string;
  /** minLength 1; maxLength 255 */
  variantId: string;
  decision: "winner" | "control_wins";
  lift?: number | null;
  pValue?: number | null;
  pBest?: number | null;
  auto: boolean;
}

/** alert.apiFailure: A vendor's interface refuses or fails us. Needs service or source, and message or errorMessage. */
export interface AlertApiFailure {
  severity?: "critical" | "error" | "warning" | "info" | null;
  /** pattern ^[A-Za-z0-9._-]{1,50}$ */
  source?: string | null;
  /** minLength 1; maxLength 150; pattern ^[^\r\n]*$ */
  title?: string | null;
  /** minLength 1; maxLength 3000 */
  message?: string | null;
  /** minLength 1; maxLength 200; pattern ^[ -~]*$ */
  dedupeKey?: string | null;
  context?: Readonly<Record<string, unknown>> | null;
  metadata?: Readonly<Record<string, unknown>> | null;
  /** date-time */
  occurredAt?: string | null;
  /** default False */
  resolve?: boolean | null;
  /** pattern ^https:// */
  url?: string | null;
  service?: string | null;
  endpoint?: string | null;
  errorCode?: number | string | null;
  errorMessage?: string | null;
  /** minimum 1; default 1 */
  failureCount?: number | null;
  /** minimum 1; maximum 1440; default 60 */
  timeWindowMinutes?: number | null;
  /** date-time */
  lastSuccessAt?: string | null;
}

/** alert.critical: Wake someone. Critical by definition, whatever severity is sent. */
export interface AlertCritical {
  severity?: "critical" | "error" | "warning" | "info" | null;
  /** pattern ^[A-Za-z0-9._-]{1,50}$ */
  source: string;
  /** minLength 1; maxLength 150; pattern ^[^\r\n]*$ */
  title: string;
  /** minLength 1; maxLength 3000 */
  message: string;
  /** minLength 1; maxLength 200; pattern ^[ -~]*$ */
  dedupeKey?: string | null;
  context?: Readonly<Record<string, unknown>> | null;
  metadata?: Readonly<Record<string, unknown>> | null;
  /** date-time */
  occurredAt?: string | null;
  /** default False */
  resolve?: boolean | null;
  /** pattern ^https:// */
  url?: string | null;
  /** maxItems 20 */
  notifyEmails?: readonly string[] | null;
  /** maxItems 20 */
  notifyPhones?: readonly string[] | null;
}

/** alert.security: A finding about access, keys or tampering. */
export interface AlertSecurity {
  severity?: "critical" | "error" | "warning" | "info" | null;
  /** pattern ^[A-Za-z0-9._-]{1,50}$ */
  source?: string | null;
  /** minLength 1; maxLength 150; pattern ^[^\r\n]*$ */
  title?: string | null;
  /** minLength 1; maxLength 3000 */
  message?: string | null;
  /** minLength 1; maxLength 200; pattern ^[ -~]*$ */
  dedupeKey?: string | null;
  context?: Readonly<Record<string, unknown>> | null;
  metadata?: Readonly<Record<string, unknown>> | null;
  /** date-time */
  occurredAt?: string | null;
  /** default False */
  resolve?: boolean | null;
  /** pattern ^https:// */
  url?: string | null;
  /** default 'other' */
  alertType?: "suspicious_login" | "multiple_failed_logins" | "unusual_ip" | "permission_escalation" | "api_key_compromise" | "other" | null;
  userId?: string | null;
  email?: string | null;
  ipAddress?: string | null;
  userAgent?: string | null;
  geoLocation?: string | null;
}

/** alert.systemError: Something of ours does not work. Needs message or errorMessage, and title or errorCode. */
export interface AlertSystemError {
  severity?: "critical" | "error" | "warning" | "info" | null;
  /** pattern ^[A-Za-z0-9._-]{1,50}$ */
  source?: string | null;
  /** minLength 1; maxLength 150; pattern ^[^\r\n]*$ */
  title?: string | null;
  /** minLength 1; maxLength 3000 */
  message?: string | null;
  /** minLength 1; maxLength 200; pattern ^[ -~]*$ */
  dedupeKey?: string | null;
  context?: Readonly<Record<string, unknown>> | null;
  metadata?: Readonly<Record<string, unknown>> | null;
  /** date-time */
  occurredAt?: string | null;
  /** default False */
  resolve?: boolean | null;
  /** pattern ^https:// */
  url?: string | null;
  errorCode?: string | null;
  errorMessage?: string | null;
  service?: string | null;
  stackTrace?: string | null;
}

/** alert.unusualActivity: A business figure has left its usual range: measured (metric and values), or told (title and message). */
export interface AlertUnusualActivity {
  severity?: "critical" | "error" | "warning" | "info" | null;
  /** pattern ^[A-Za-z0-9._-]{1,50}$ */
  source?: string | null;
  /** minLength 1; maxLength 150; pattern ^[^\r\n]*$ */
  title?: string | null;
  /** minLength 1; maxLength 3000 */
  message?: string | null;
  /** minLength 1; maxLength 200; pattern ^[ -~]*$ */
  dedupeKey?: string | null;
  context?: Readonly<Record<string, unknown>> | null;
  metadata?: Readonly<Record<string, unknown>> | null;
  /** date-time */
  occurredAt?: string | null;
  /** default False */
  resolve?: boolean | null;
  /** pattern ^https:// */
  url?: string | null;
  /** default 'other' */
  activityType?: "high_order_volume" | "high_refund_rate" | "unusual_traffic" | "mass_unsubscribe" | "bulk_data_access" | "other" | null;
  metric?: string | null;
  currentValue?: number | string | null;
  normalValue?: number | string | null;
  percentageChange?: number | string | null;
  timeWindow?: string | null;
}

/** attribution.dailyMetrics: Rebuild the channel summary of one day of the tenant's zone; without a date the last complete one. */
export interface AttributionDailyMetrics {
  /** date */
  date?: string | null;
  /** default False */
  forceRecalculate?: boolean | null;
}

/** attribution.process: Compute the credits of one order; harmless when repeated. */
export interface AttributionProcess {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** default False */
  force?: boolean | null;
  /** minLength 1; maxLength 128 */
  visitorId?: string | null;
  /** default False */
  skipGA4?: boolean | null;
  /** default False */
  skipMeta?: boolean | null;
}

/** collection.productsSync: Make the member list of one collection equal to Shopify's. */
export interface CollectionProductsSync {
  /** minLength 1; maxLength 255 */
  collectionId: string;
  /** minLength 1; maxLength 255 */
  shopifyCollectionId?: string | null;
}

/** collection.sync: Read one collection from Shopify again, or all of them (`full_sync`, the default without an id). */
export interface CollectionSync {
  /** minLength 1; maxLength 255 */
  collectionId?: string | null;
  /** minLength 1; maxLength 255 */
  shopifyCollectionId?: string | null;
  fullSync?: boolean | null;
  /** default 'update' */
  action?: "update" | "delete" | null;
  /** date-time */
  updatedAt?: string | null;
  source?: string | null;
}

/**
 * conversion.attributed: An order became a conversion, told once per order whether or not touchpoints were found. The row decides; all
 * but orderId and the skips is informational.
 */
export interface ConversionAttributed {
  /** minLength 1; maxLength 255 */
  orderId: string;
  attributionModel?: string | null;
  touchpoints?: number | null;
  valueCents?: number | null;
  currency?: string | null;
  /** default False */
  skipGA4?: boolean | null;
  /** default False */
  skipMeta?: boolean | null;
}

/**
 * creator.application.notifyAdmin: Tell the team of an application, or lead its review.
 *
 * `mode`: notify; await (holds the step for the decision), remind, expire, failed (the review has failed: a decision
 * that could not be carried out is withdrawn, and it is told) are the review workflow's.
 */
export interface CreatorApplicationNotifyAdmin {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId: string;
  /** default 'notify' */
  mode?: "notify" | "await" | "remind" | "expire" | "failed" | null;
  /** minimum 0; maximum 3; default 0 */
  segment?: number | null;
  /** minimum 1; maximum 3 */
  reminderNumber?: number | null;
  /** maxLength 100 */
  code?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  creatorName?: string | null;
  email?: string | null;
  source?: string | null;
}

/** creator.application.pipelineEntry: Make the creator's card in the pipeline, or move it forward. */
export interface CreatorApplicationPipelineEntry {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId: string;
  stage: "new" | "reviewing" | "approved" | "rejected" | "onboarding" | "active";
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  creatorName?: string | null;
  email?: string | null;
  /** date-time */
  occurredAt?: string | null;
}

/** creator.application.process: Check and register an application. */
export interface CreatorApplicationProcess {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId: string;
  /** default False */
  orchestrated?: boolean | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  email?: string | null;
  name?: string | null;
  /** maxLength 255 */
  source?: string | null;
  utmParams?: Readonly<Record<string, unknown>> | null;
}

/** creator.application.track: Count a step of the application funnel. */
export interface CreatorApplicationTrack {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId: string;
  event: "submitted" | "approved" | "rejected" | "completed_setup";
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  email?: string | null;
  metadata?: Readonly<Record<string, string | number | boolean>> | null;
}

/** creator.applied: Somebody has sent the application form. */
export interface CreatorApplied {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId: string;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  email?: string | null;
}

/** creator.approval.email: Send the approval with a personal log-in link. */
export interface CreatorApprovalEmail {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId: string;
  email?: string | null;
  name?: string | null;
  tier?: string | null;
  /** maxLength 2000; pattern ^https://\S+$ */
  loginUrl?: string | null;
}

/** creator.approval.process: Carry out an approval. Orchestrated: its terms are those of the stored decision. */
export interface CreatorApprovalProcess {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system' */
  approvedBy?: string | null;
  tier?: "bronze" | "silver" | "gold" | "platinum" | null;
  commissionPercent?: number | string | null;
  /** minLength 1; maxLength 64 */
  discountCode?: string | null;
  /** maxLength 5000 */
  notes?: string | null;
  /** default True */
  sendNotification?: boolean | null;
  /** default False */
  orchestrated?: boolean | null;
}

/** creator.approved: A person, or the automatic rule, has approved an applicant. */
export interface CreatorApproved {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId: string;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system' */
  approvedBy?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId?: string | null;
  tier?: "bronze" | "silver" | "gold" | "platinum" | null;
  /** minimum 0.0; maximum 100.0 */
  commissionPercent?: number | string | null;
  /** minLength 1; maxLength 64 */
  discountCode?: string | null;
  /** maxLength 5000 */
  notes?: string | null;
  /** default True */
  sendNotification?: boolean | null;
}

/** creator.email.cancel: Stop what is still waiting for a creator. */
export interface CreatorEmailCancel {
  /** minLength 1; maxLength 255 */
  creatorId: string;
  reason: "status_change" | "unsubscribed" | "bounced" | "admin_cancel" | "setup_complete" | "superseded";
  /** maxItems 100 */
  emailTypes?: readonly string[] | null;
  sequenceId?: string | null;
}

/** creator.email.process: Send what is due in the queue of creators' mails; `priority` high: the most urgent only. */
export interface CreatorEmailProcess {
  priority?: "high" | null;
}

/** creator.file.uploaded: A creator uploaded a file (`step` process), or its video may be ready at Mux (`step` poll). */
export interface CreatorFileUploaded {
  fileId: string;
  creatorId: string;
  projectId: string;
  fileType?: "video" | "image" | "document" | "audio" | "archive" | null;
  fileSize?: number | null;
  /** default 'process' */
  step?: "process" | "poll" | null;
  attempt?: number | null;
  /** default False */
  force?: boolean | null;
}

/** creator.rejected: An applicant has been rejected. */
export interface CreatorRejected {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId: string;
  /** maxLength 1000 */
  reason?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system' */
  rejectedBy?: string | null;
  /** maxLength 5000 */
  feedback?: string | null;
  /** default True */
  allowReapply?: boolean | null;
  /** default True */
  sendNotification?: boolean | null;
}

/** creator.rejection.email: Queue the refusal. Without `feedback` and `reason` those of the stored decision are used. */
export interface CreatorRejectionEmail {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId?: string | null;
  email?: string | null;
  name?: string | null;
  /** maxLength 1000 */
  reason?: string | null;
  /** maxLength 5000 */
  feedback?: string | null;
  allowReapply: boolean;
}

/** creator.rejection.process: Carry out a rejection. Orchestrated: its terms are those of the stored decision. */
export interface CreatorRejectionProcess {
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  applicationId?: string | null;
  /** minLength 1; maxLength 255; pattern ^[ -~]+$; default 'system' */
  rejectedBy?: string | null;
  /** maxLength 1000 */
  reason?: string | null;
  /** maxLength 5000 */
  feedback?: string | null;
  /** default True */
  allowReapply?: boolean | null;
  /** default True */
  sendNotification?: boolean | null;
  /** default False */
  orchestrated?: boolean | null;
}

/** creator.shipmentSync: Read the state of one parcel (`shipment_id`), or of all open ones. */
export interface CreatorShipmentSync {
  /** uuid */
  shipmentId?: string | null;
  /** default False */
  fullSync?: boolean | null;
}

/** creator.slackNotification: Post one creator event to the channel that the tenant chose for it. */
export interface CreatorSlackNotification {
  notificationType: "application_received" | "application_approved" | "welcome_call_booked" | "escalation" | "product_shipped" | "product_received" | "contract_sent" | "contract_signed" | "content_submitted" | "content_revisions_requested";
  /** minLength 1; maxLength 255; pattern ^[ -~]+$ */
  creatorId: string;
  creatorName?: string | null;
  creatorEmail?: string | null;
  metadata?: Readonly<Record<string, unknown>> | null;
}

/** creator.welcomeSequence: Plan the welcome mails of a creator who was just approved. */
export interface CreatorWelcomeSequence {
  /** minLength 1; maxLength 255 */
  creatorId: string;
  /** default False */
  welcomeCallScheduled?: boolean | null;
}

/** customer.created: A customer was seen for the first time. */
export interface CustomerCreated {
  /** minLength 1; maxLength 255 */
  customerId: string;
  email: string;
  /** minLength 1; maxLength 255 */
  shopifyCustomerId?: string | null;
  /** minimum 1 */
  attempt?: number | null;
}

/** customer.sync: Bring one customer to Shopify's present state. One of the two ids is required. */
export interface CustomerSync {
  /** minLength 1; maxLength 255 */
  shopifyCustomerId?: string | null;
  /** minLength 1; maxLength 255 */
  customerId?: string | null;
  /** default 'update' */
  action?: "create" | "update" | "delete" | null;
  /** date-time */
  updatedAt?: string | null;
  source?: "webhook" | "app" | "batch" | "job" | null;
}

/** customer.syncBatch: Bring many customers to Shopify's present state: by list, changed since an instant, or all. */
export interface CustomerSyncBatch {
  /** uuid */
  syncRunId?: string | null;
  step?: "start" | "poll" | "load" | "merge" | "reconcile" | null;
  /** minimum 0 */
  attempt?: number | null;
  /** minimum 0 */
  restarts?: number | null;
  mode?: "full" | "delta" | null;
  customerIds?: readonly string[] | null;
  shopifyCustomerIds?: readonly string[] | null;
  /** date-time */
  createdSince?: string | null;
  /** date-time */
  updatedSince?: string | null;
  source?: string | null;
}

/** customer.updated: A customer has changed. */
export interface CustomerUpdated {
  /** minLength 1; maxLength 255 */
  customerId: string;
  changes: Readonly<Record<string, unknown>>;
  /** default False */
  synced?: boolean | null;
}

/** dam.muxBackfill: Create Mux assets for library videos that have none (`step` create), or ask how they stand (`step` poll). */
export interface DamMuxBackfill {
  /** minimum 1; maximum 200 */
  limit?: number | null;
  /** maxItems 200 */
  assetIds?: readonly string[] | null;
  /** default 'create' */
  step?: "create" | "poll" | null;
  attempt?: number | null;
  source?: string | null;
}

/** How a copy is to look; without options an image that meets Google's rules is left as it is. */
export interface GoogleFeedImageOptimizeImageOptions {
  /** default False */
  removeBackground?: boolean | null;
  /** minimum 100; maximum 4000; default 1500 */
  targetWidth?: number | null;
  /** minimum 100; maximum 4000; default 1500 */
  targetHeight?: number | null;
  /** default 'jpeg' */
  format?: "jpeg" | "png" | "webp" | null;
  /** minimum 40; maximum 95; default 85 */
  quality?: number | null;
}

/** googleFeed.imageOptimize: Check one product image against Google's requirements and make a conforming copy where it needs one. */
export interface GoogleFeedImageOptimize {
  /** minLength 1; maxLength 255 */
  productId: string;
  /** minLength 1; maxLength 2000 */
  imageUrl: string;
  /** minLength 1; maxLength 255 */
  variantId?: string | null;
  options?: GoogleFeedImageOptimizeImageOptions | null;
}

/** googleFeed.productUpdate: Send or remove the offers of one product soon after a change. */
export interface GoogleFeedProductUpdate {
  /** minLength 1; maxLength 255 */
  productId: string;
  /** minLength 1; maxLength 255 */
  variantId?: string | null;
  action: "update" | "delete";
}

/** googleFeed.sync: Compare the whole feed with what Google holds; with `full_sync` false only what moved since the last time. */
export interface GoogleFeedSync {
  /** default True */
  fullSync?: boolean | null;
  /** default 'schedule' */
  triggeredBy?: "schedule" | "manual" | "webhook" | null;
  /** uuid */
  syncId?: string | null;
  /** default 'prepare' */
  step?: "prepare" | "send" | "delete" | "finish" | "status" | null;
}

/** inventory.lowStock: The stock of a variant fell to its limit. */
export interface InventoryLowStock {
  productId: string;
  variantId: string;
  sku?: string | null;
  available: number;
  limit: number;
  daysLeft?: number | null;
}

/** inventory.outOfStock: A variant cannot be sold any more. */
export interface InventoryOutOfStock {
  productId: string;
  variantId: string;
  sku?: string | null;
  available: number;
}

/** inventory.restocked: A variant is in stock again. */
export interface InventoryRestocked {
  productId: string;
  variantId: string;
  sku?: string | null;
  available: number;
  previousState: string;
}

/** inventory.sync: Ask for stock to be synchronised: of a variant, a product, a location, or everywhere. */
export interface InventorySync {
  /** minLength 1; maxLength 255 */
  productId?: string | null;
  /** minLength 1; maxLength 255 */
  variantId?: string | null;
  /** minLength 1; maxLength 255 */
  locationId?: string | null;
  /** default False */
  fullSync?: boolean | null;
  /** default 'manual' */
  source?: "schedule" | "manual" | null;
}

/** inventory.syncBatch: Bring stock levels up to date: of products, of a location, or what has changed. */
export interface InventorySyncBatch {
  /** uuid */
  syncRunId?: string | null;
  step?: "start" | "poll" | "load" | "merge" | "reconcile" | null;
  /** minimum 0 */
  attempt?: number | null;
  /** minimum 0 */
  restarts?: number | null;
  /** minLength 1; maxLength 255 */
  locationId?: string | null;
  /** default False */
  fullSync?: boolean | null;
  productIds?: readonly string[] | null;
  cursor?: unknown | null;
}

/** inventory.update: Stock of one item at one location: observed (`available` at `updated_at`), or to be changed by the app. */
export interface InventoryUpdate {
  /** minLength 1; maxLength 255 */
  inventoryItemId?: string | null;
  /** minLength 1; maxLength 255 */
  shopifyLocationId?: string | null;
  /** minLength 1; maxLength 255 */
  locationId?: string | null;
  /** minimum -2147483648; maximum 2147483647 */
  available?: number | null;
  /** date-time */
  updatedAt?: string | null;
  /** minLength 1; maxLength 255 */
  shopifyVariantId?: string | null;
  /** minLength 1; maxLength 255 */
  variantId?: string | null;
  /** minLength 1; maxLength 255 */
  productId?: string | null;
  /** minimum -2147483648; maximum 2147483647 */
  quantityAdjustment?: number | null;
  /** minimum 0; maximum 2147483647 */
  newQuantity?: number | null;
  /** default 'correction' */
  reason?: "correction" | "cycle_count_available" | "damaged" | "received" | "restock" | "promotion" | "quality_control" | "shrinkage" | "other" | null;
  requestedBy?: string | null;
}

/** klaviyo.sync: Bring Klaviyo up to date: profiles, events, lists or all of them. */
export interface KlaviyoSync {
  /** default 'all' */
  syncType?: "profiles" | "events" | "lists" | "all" | null;
  /** maxItems 1000 */
  customerIds?: readonly string[] | null;
  /** date-time */
  updatedSince?: string | null;
  /** default 'run' */
  step?: "run" | "check" | null;
  attempt?: number | null;
}

/** order.attribution: Derive the marketing source of an order. */
export interface OrderAttribution {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** minLength 1; maxLength 255 */
  customerId?: string | null;
  sessionId?: string | null;
}

/** order.backfillCompleted: A run of order.syncBatch ended; apps show it. */
export interface OrderBackfillCompleted {
  /** uuid */
  runId: string;
  stored: number;
  created: number;
  failed: number;
  /** date-time */
  windowFrom?: string | null;
  /** date-time */
  windowTo?: string | null;
}

/** order.cancelled: An order was cancelled. */
export interface OrderCancelled {
  /** minLength 1; maxLength 255 */
  orderId: string;
  reason?: string | null;
  refundAmount?: number | null;
}

/** order.commission: Compute the creator's commission of an order anew; the other fields are hints of older publishers. */
export interface OrderCommission {
  /** minLength 1; maxLength 255 */
  orderId: string;
  discountCode?: string | null;
  orderTotal?: number | null;
  currency?: string | null;
}

/** order.created: An order was seen for the first time. */
export interface OrderCreated {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** minLength 1; maxLength 255 */
  shopifyOrderId?: string | null;
  /** minLength 1; maxLength 255 */
  customerId?: string | null;
  totalAmount: number;
  currency?: string | null;
}

/** order.fulfilled: A fulfilment of an order was made, or, with deliveredAt, delivered. */
export interface OrderFulfilled {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** minLength 1; maxLength 255 */
  fulfillmentId: string;
  trackingNumber?: string | null;
  carrier?: string | null;
  /** date-time */
  deliveredAt?: string | null;
}

/** order.reconcile: Compare what Shopify changed with what we hold, and bring in what differs. */
export interface OrderReconcile {
  /** minimum 1; maximum 168; default 2 */
  lookbackHours?: number | null;
  /** minimum 1; default 500 */
  maxOrders?: number | null;
  /** default False */
  deep?: boolean | null;
}

/** order.refunded: One refund of an order, told once. */
export interface OrderRefunded {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** minLength 1; maxLength 255 */
  refundId: string;
  /** exclusiveMinimum 0 */
  refundAmountCents: number;
  currency?: string | null;
}

/** order.reviewEmail: Find the place of an order in the queue of review requests; idempotent. */
export interface OrderReviewEmail {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** minLength 1; maxLength 255 */
  customerId?: string | null;
  customerEmail?: string | null;
  /** minLength 1; maxLength 255 */
  fulfillmentId?: string | null;
  /** date-time */
  fulfilledAt?: string | null;
  /** date-time */
  deliveredAt?: string | null;
}

/** order.sync: Bring one order to Shopify's present state. One of orderId and shopifyOrderId is required. */
export interface OrderSync {
  /** minLength 1; maxLength 255 */
  orderId?: string | null;
  /** minLength 1; maxLength 255 */
  shopifyOrderId?: string | null;
  /** default 'webhook' */
  source?: "webhook" | "manual" | "reconciliation" | "app" | "job" | null;
  /** date-time */
  updatedAt?: string | null;
}

/**
 * order.syncBatch: Backfill or repair many orders, by list or by window; with runId the next step of a run.
 *
 * A date stands for tenant-local midnight (startDate) or the end of that day (endDate). An empty message is
 * refused: it must not import a whole shop.
 */
export interface OrderSyncBatch {
  orderIds?: readonly string[] | null;
  shopifyOrderIds?: readonly string[] | null;
  /** date-time; date */
  startDate?: string | null;
  /** date-time; date */
  endDate?: string | null;
  windowBy?: "created" | "updated" | "either" | null;
  /** minimum 1; maximum 250 */
  limit?: number | null;
  cursor?: string | null;
  announce?: "recent" | "none" | null;
  /** default 'app' */
  source?: string | null;
  /** uuid */
  runId?: string | null;
  /** minimum 0 */
  sliceNo?: number | null;
  /** default 'start' */
  step?: "start" | "export" | "poll" | "load" | "details" | null;
  /** minimum 0 */
  pollCount?: number | null;
  /** minimum 0 */
  restarts?: number | null;
}

/** payout.checkDomestic: Look up at Stripe how a payout (`payout_id`), or every pending one, stands. */
export interface PayoutCheckDomestic {
  payoutType?: "domestic" | null;
  /** minimum 1; maximum 500 */
  limit?: number | null;
  payoutId?: string | null;
  /** date-time */
  tick?: string | null;
}

/** payout.checkInternational: Look up at Wise how a payout (`payout_id`), or every pending one, stands. */
export interface PayoutCheckInternational {
  payoutType?: "international" | null;
  /** minimum 1; maximum 500 */
  limit?: number | null;
  payoutId?: string | null;
  /** date-time */
  tick?: string | null;
}

/** product.sync: Ask for products to be synchronised: one, all of them, or what has changed. */
export interface ProductSync {
  /** minLength 1; maxLength 255 */
  productId?: string | null;
  /** default False */
  fullSync?: boolean | null;
  /** default 'manual' */
  source?: "schedule" | "manual" | "install" | "job" | null;
}

/** product.syncBatch: Synchronise many products: by list, by collection, by change date, or (without any) what has changed. */
export interface ProductSyncBatch {
  /** uuid */
  syncRunId?: string | null;
  step?: "start" | "poll" | "load" | "merge" | "reconcile" | null;
  /** minimum 0 */
  attempt?: number | null;
  /** minimum 0 */
  restarts?: number | null;
  productIds?: readonly string[] | null;
  shopifyProductIds?: readonly string[] | null;
  /** minLength 1; maxLength 255 */
  collectionId?: string | null;
  /** date-time */
  updatedSince?: string | null;
}

/** product.syncOne: Read one product from Shopify again; one of the two ids is required. */
export interface ProductSyncOne {
  /** minLength 1; maxLength 255 */
  shopifyProductId?: string | null;
  /** minLength 1; maxLength 255 */
  productId?: string | null;
  /** default 'update' */
  action?: "create" | "update" | "delete" | null;
  /** date-time */
  updatedAt?: string | null;
  /** default 'webhook' */
  source?: "webhook" | "manual" | "batch" | "job" | null;
}

/** recovery.checkoutUpdated: A checkout that may have been abandoned was completed. */
export interface RecoveryCheckoutUpdated {
  /** minLength 1; maxLength 255 */
  shopifyCheckoutId: string;
  completed: boolean;
}

/** review.email.queued: A review mail has its time, or an application asks for one. */
export interface ReviewEmailQueued {
  /** minLength 1; maxLength 255 */
  reviewEmailId: string;
  /** minLength 1; maxLength 255 */
  orderId: string;
  customerId: string;
  /** minLength 1; maxLength 255 */
  templateId: string;
  /** date-time */
  scheduledFor?: string | null;
}

/** review.email.sent: A review mail is out. */
export interface ReviewEmailSent {
  /** minLength 1; maxLength 255 */
  reviewEmailId: string;
  /** minLength 1; maxLength 255 */
  messageId?: string | null;
}

/** review.emailAwaitingDelivery: Move on requests whose parcel has arrived, or surely must have. */
export interface ReviewEmailAwaitingDelivery {
  /** minimum 1; maximum 60; default 14 */
  daysWaiting?: number | null;
}

/** review.emailQueue: Send every review mail that is due. */
export interface ReviewEmailQueue {
  /** minimum 1; maximum 200; default 50 */
  limit?: number | null;
  /** default False */
  dryRun?: boolean | null;
}

/** review.emailRetry: Put failed review mails back into the queue whose waiting time is over. */
export interface ReviewEmailRetry {
  /** minimum 1; maximum 10; default 5 */
  maxRetries?: number | null;
  /** minimum 1; maximum 500; default 25 */
  limit?: number | null;
}

/** review.emailSend: Send one review mail now. */
export interface ReviewEmailSend {
  /** minLength 1; maxLength 255 */
  reviewEmailId: string;
  /** minLength 1; maxLength 255 */
  orderId?: string | null;
  /** default False */
  force?: boolean | null;
  requestedBy?: string | null;
}

/** review.emailStats: Compute what the review mails of a period achieved; by default of the 30 complete local days before today. */
export interface ReviewEmailStats {
  /** date */
  startDate?: string | null;
  /** date */
  endDate?: string | null;
}

/** review.moderated: Somebody decided about a review. */
export interface ReviewModerated {
  /** minLength 1; maxLength 255 */
  reviewId: string;
  action: "approve" | "reject" | "spam";
  reviewerEmail?: string | null;
  reviewerName?: string | null;
  productTitle?: string | null;
}

/** review.reminder: Schedule the next reminder of an order; reminder n has sequence number n + 1. */
export interface ReviewReminder {
  /** minLength 1; maxLength 255 */
  orderId: string;
  /** minimum 1 */
  reminderNumber: number;
  /** minLength 1; maxLength 255 */
  reviewEmailId?: string | null;
}

/** sms.deliveryStatus: Twilio reported the state of a message. */
export interface SmsDeliveryStatus {
  /** pattern ^(SM|MM)[0-9a-fA-F]{32}$ */
  messageSid: string;
  messageStatus: "accepted" | "scheduled" | "queued" | "sending" | "sent" | "delivered" | "undelivered" | "failed" | "canceled" | "read" | "receiving" | "received" | "partially_delivered";
  errorCode?: number | null;
  /** uuid */
  smsQueueId?: string | null;
  /** date-time */
  receivedAt?: string | null;
}

/**
 * sms.send: Send one text message in the tenant's account, or take up a queued one. Needs smsQueueId, or a number and a
 * text or template.
 */
export interface SmsSend {
  to?: string | null;
  message?: string | null;
  templateId?: string | null;
  templateVars?: Readonly<Record<string, string>> | null;
  /** uuid */
  smsQueueId?: string | null;
  notificationType?: string | null;
  recipientType?: "customer" | "creator" | "contractor" | "vendor" | "team" | null;
  recipientId?: string | null;
  recipientName?: string | null;
  from?: string | null;
  /** date-time */
  scheduledFor?: string | null;
  dedupeKey?: string | null;
  correlationId?: string | null;
  priority?: "high" | "normal" | "low" | null;
  skipConsentCheck?: boolean | null;
}

/** subscription.billing: Charge a subscription (`step` charge), or settle a charge whose outcome the vendor knows (`step` settle). */
export interface SubscriptionBilling {
  subscriptionId?: string | null;
  /** date */
  billingDate?: string | null;
  /** default 'charge' */
  step?: "charge" | "settle" | null;
  /** uuid */
  chargeId?: string | null;
  /** default 'manual' */
  reason?: "daily" | "retry" | "catchup" | "manual" | "payment_method_updated" | "webhook" | null;
  /** minimum 1; maximum 4 */
  poll?: number | null;
  idempotencyKey?: string | null;
  /** date */
  periodStart?: string | null;
  /** date */
  periodEnd?: string | null;
}

/** subscription.paymentFailed: A charge failed or needs the customer; the subscription or one of the vendors' ids is required. */
export interface SubscriptionPaymentFailed {
  subscriptionId?: string | null;
  /** uuid */
  chargeId?: string | null;
  /** uuid */
  attemptId?: string | null;
  /** minLength 1; maxLength 255 */
  shopifyBillingAttemptId?: string | null;
  stripePaymentIntentId?: string | null;
  /** default 'failure' */
  step?: "failure" | "notice" | "deadline" | null;
  cycleNumber?: number | null;
  class?: string | null;
  code?: string | null;
  source?: "job" | "webhook" | null;
}

/** treasury.topup: A Stripe top-up ended; the listener reads it from Stripe. */
export interface TreasuryTopup {
  topupId: string;
  amount: number;
  /** pattern ^[A-Z]{3}$ */
  currency: string;
  stripeTopupId?: string | null;
  /** default 'succeeded' */
  status?: "succeeded" | "reversed" | null;
  source?: string | null;
}

/** video.uploadCompleted: A recording is ready to be transcribed (`step` start), or its transcript may be ready (`step` poll). */
export interface VideoUploadCompleted {
  videoId: string;
  projectId?: string | null;
  creatorId?: string | null;
  playbackId?: string | null;
  duration?: number | null;
  size?: number | null;
  source?: string | null;
  /** default 'start' */
  step?: "start" | "poll" | null;
  attempt?: number | null;
  /** default False */
  force?: boolean | null;
}

/**
 * webhook.received: A vendor's webhook, its signature verified by the app.
 *
 * Exactly one form: `webhook_event_id` (the app stored the row), `delivery_id` (an outbound delivery of ours), or
 * `provider`, `topic` and `body` (nothing is stored yet).
 */
export interface WebhookReceived {
  /** uuid */
  webhookEventId?: string | null;
  /** uuid */
  deliveryId?: string | null;
  attempt?: number | null;
  provider?: "shopify" | "stripe" | "wise" | "resend" | "twilio" | "mux" | "assemblyai" | null;
  /** minLength 1; maxLength 100 */
  topic?: string | null;
  /** minLength 1; maxLength 255 */
  externalId?: string | null;
  /** minLength 1; maxLength 255 */
  eventId?: string | null;
  /** minLength 1; maxLength 255 */
  account?: string | null;
  /** date-time */
  triggeredAt?: string | null;
  /** date-time */
  receivedAt?: string | null;
  body?: Readonly<Record<string, unknown>> | null;
}

/**
 * webhook.retry: A stored webhook or an outbound delivery that is due again: `webhook_event_id` or `delivery_id`.
 *
 * Published when a person requeues a dead row, and by the schedule that looks for rows that are due.
 */
export interface WebhookRetry {
  /** uuid */
  webhookEventId?: string | null;
  /** uuid */
  deliveryId?: string | null;
  attempt?: number | null;
  provider?: "shopify" | "stripe" | "wise" | "resend" | "twilio" | "mux" | "assemblyai" | null;
  /** minLength 1; maxLength 100 */
  topic?: string | null;
  /** minLength 1; maxLength 255 */
  externalId?: string | null;
  /** minLength 1; maxLength 255 */
  eventId?: string | null;
  /** minLength 1; maxLength 255 */
  account?: string | null;
  /** date-time */
  triggeredAt?: string | null;
  /** date-time */
  receivedAt?: string | null;
  body?: Readonly<Record<string, unknown>> | null;
}

/** workflow.triggered: `trigger` happened to the entity. The older form names a rule (workflowId) instead of a trigger. */
export interface WorkflowTriggered {
  /** pattern ^[a-zA-Z0-9._]{1,100}$ */
  trigger?: string | null;
  entityType?: string | null;
  /** minLength 1; maxLength 255 */
  entityId?: string | null;
  context?: Readonly<Record<string, unknown>> | null;
  workflowId?: string | null;
  triggerId?: string | null;
}
