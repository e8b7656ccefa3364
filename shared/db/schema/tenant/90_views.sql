-- The one reading of the money of orders and refunds; amounts are hundredths of the order's currency. Letters: t = total paid,
-- x = tax, d = discounts, n = net sales (goods after discounts, without tax and shipping, before refunds). The applications'
-- own webhook takes the discount off twice in net_sales_cents, so that column counts only where the order sync has written it:
-- a mark of 1970 was made before anything was read from Shopify.

-- replace view refund_figures
CREATE OR REPLACE VIEW refund_figures WITH (security_invoker = true) AS
WITH o AS (
  SELECT o.id, o.shopify_id, o.shopify_order_id, o.currency,
         COALESCE(NULLIF(o.total_price_cents, 0), o.total_cents)::bigint AS t,
         CASE WHEN m.order_id IS NOT NULL THEN COALESCE(o.net_sales_cents, 0)
              ELSE GREATEST(COALESCE(NULLIF(o.total_price_cents, 0), o.total_cents) - o.shipping_cents
                            - COALESCE(NULLIF(o.taxes_cents, 0), o.tax_cents), 0) END::bigint AS n
  FROM orders o
  LEFT JOIN order_sync_marks m ON m.order_id = o.id AND m.deleted_at IS NULL AND m.shopify_updated_at > 'epoch'),
r AS (
  SELECT r.id, r.shopify_refund_id, o.id AS order_id, COALESCE(r.processed_at, r.created_at) AS booked_at, r.amount_cents, o.t, o.n,
         (SELECT sum(l.amount_cents)::bigint FROM refund_line_items l WHERE l.refund_id = r.id) AS lines
  FROM refunds r JOIN o ON r.order_shopify_id IN (o.shopify_id, o.shopify_order_id)),
h AS (
  SELECT r.*, LEAST(n, COALESCE(sum(lines) OVER w, 0)
                 + CASE WHEN t = 0 THEN 0
                        ELSE round(LEAST(COALESCE(sum(amount_cents) FILTER (WHERE lines IS NULL) OVER w, 0), t)::numeric * n / t) END)::bigint AS running
  FROM r WINDOW w AS (PARTITION BY order_id ORDER BY booked_at, id))
SELECT id AS refund_id, shopify_refund_id, order_id, booked_at, amount_cents AS cash_cents,
       running - COALESCE(lag(running) OVER (PARTITION BY order_id ORDER BY booked_at, id), 0) AS net_cents
FROM h;

-- replace view order_figures
CREATE OR REPLACE VIEW order_figures WITH (security_invoker = true) AS
SELECT o.id AS order_id, COALESCE(o.shopify_id, o.shopify_order_id) AS shopify_order_id, o.currency,
       COALESCE(o.order_placed_at, o.created_at) AS placed_at, COALESCE(o.customer_id, lower(o.customer_email)) AS person,
       f.t AS total_cents, o.shipping_cents, f.x AS tax_cents, f.d AS discounts_cents, f.n AS net_sales_cents, f.n + f.d AS gross_sales_cents,
       COALESCE(o.refunded_cents, 0) AS refunded_cash_cents,
       COALESCE(r.net, CASE WHEN f.t = 0 THEN 0
                            ELSE round(LEAST(COALESCE(o.refunded_cents, 0), f.t)::numeric * f.n / f.t) END)::bigint AS refunded_net_cents,
       o.financial_status <> 'voided' AND (r.net IS NOT NULL OR NOT (o.cancelled_at IS NOT NULL OR o.status = 'cancelled')) AS counted,
       m.order_id IS NOT NULL AS synced
FROM orders o
LEFT JOIN order_sync_marks m ON m.order_id = o.id AND m.deleted_at IS NULL AND m.shopify_updated_at > 'epoch'
CROSS JOIN LATERAL (SELECT COALESCE(NULLIF(o.total_price_cents, 0), o.total_cents) AS t, COALESCE(NULLIF(o.taxes_cents, 0), o.tax_cents) AS x,
                           COALESCE(NULLIF(o.discounts_cents, 0), o.discount_cents) AS d) b
CROSS JOIN LATERAL (SELECT b.t, b.x, b.d, CASE WHEN m.order_id IS NOT NULL THEN COALESCE(o.net_sales_cents, 0)
                                               ELSE GREATEST(b.t - o.shipping_cents - b.x, 0) END AS n) f
LEFT JOIN LATERAL (SELECT sum(net_cents) AS net FROM refund_figures WHERE order_id = o.id) r ON true;
