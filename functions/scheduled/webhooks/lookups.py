"""The statements that tell a topic what we already know. Each is one read in the webhook's settling transaction."""

from __future__ import annotations

SHIPMENTS_OF_ORDER = """
-- webhooks: parcels to creators that are on their way with a Shopify order
SELECT id FROM creator_product_shipments
WHERE shopify_order_id = ANY(%(ids)s) AND status IN ('ordered', 'shipped')
ORDER BY id
"""

SHIPMENTS_OF_DRAFT = """
-- webhooks: parcels to creators that were ordered by a draft order
SELECT id FROM creator_product_shipments WHERE shopify_draft_order_id = ANY(%(ids)s) ORDER BY id
"""

CONNECTION = """
-- webhooks: when the app was installed in a shop
SELECT installed_at FROM shopify_connections WHERE lower(shop) = %(shop)s
"""

FORMER_BODIES = """
-- webhooks: the latest bodies of this topic that were taken over already, to tell an older one from a newer one
SELECT payload ->> 'updated_at' AS updated_at, triggered_at, received_at
FROM webhook_events
WHERE provider = 'shopify' AND topic = %(topic)s AND lower(shop) = %(shop)s AND status = 'completed'
  AND skip_reason IS NULL
ORDER BY received_at DESC
LIMIT 20
"""

PENDING_EXPORT = """
-- webhooks: an open request for a customer's data
SELECT id FROM privacy_requests
WHERE request_type = 'export' AND status = 'pending'
  AND (customer_id = %(customer_id)s OR lower(customer_email) = %(email)s)
ORDER BY created_at
LIMIT 1
"""

BILLED_SUBSCRIPTION = """
-- webhooks: the subscription of a billing attempt of ours, else of a contract that we know
SELECT subscription_id FROM (
    SELECT c.subscription_id, 1 AS preference
    FROM subscription_charge_attempts a
    JOIN subscription_charges c ON c.id = a.charge_id
    WHERE a.vendor_attempt_id = ANY(%(attempts)s)
    UNION ALL
    SELECT s.id, 2
    FROM subscriptions s
    WHERE s.shopify_subscription_id = ANY(%(contracts)s)
) AS found
ORDER BY preference
LIMIT 1
"""

BILLING_ATTEMPT = """
-- webhooks: whether a billing attempt is ours
SELECT id FROM subscription_charge_attempts WHERE vendor_attempt_id = ANY(%(attempts)s) LIMIT 1
"""

SUBSCRIPTIONS_OF_METHOD = """
-- webhooks: living subscriptions that are paid by a payment method
SELECT id FROM subscriptions
WHERE payment_method_id = ANY(%(ids)s) AND status NOT IN ('cancelled', 'expired')
ORDER BY id
"""

CHARGE_OF_INTENT = """
-- webhooks: the charge that a payment intent pays
SELECT subscription_id FROM subscription_charges WHERE stripe_payment_intent_id = %(id)s
"""

TOPUP = """
-- webhooks: our row of a top-up
SELECT id FROM stripe_topups WHERE stripe_topup_id = %(id)s
"""

PAYOUTS_AT_VENDOR = """
-- webhooks: payout attempts that a vendor's transfer or payout belongs to
SELECT id::text AS id, payout_id FROM payout_attempts
WHERE provider = %(provider)s AND (vendor_transfer_id = %(id)s OR vendor_payout_id = %(id)s)
ORDER BY attempt_no
"""

MUX_ASSET = """
-- webhooks: what a Mux asset belongs to: creators' files, library assets, recordings
SELECT 'file' AS kind, source_id AS id, creator_id, project_id, NULL AS status
FROM media_files
WHERE mux ->> 'assetId' = %(id)s AND source = 'project_file' AND creator_id IS NOT NULL AND project_id IS NOT NULL
UNION ALL
SELECT 'library', id::text, NULL, NULL, NULL FROM dam_assets WHERE mux_asset_id = %(id)s
UNION ALL
SELECT 'recording', id, NULL, NULL, status FROM videos WHERE mux_asset_id = %(id)s
"""

TRANSCRIPT = """
-- webhooks: the recording of a transcript
SELECT video_id FROM video_transcripts WHERE vendor_id = %(id)s
"""
