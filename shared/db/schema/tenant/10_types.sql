-- Enumerations that the tables of the jobs use.

-- ensure type application_status
CREATE TYPE application_status AS ENUM ('new', 'in_review', 'approved', 'rejected', 'waitlisted');

-- ensure type commission_status
CREATE TYPE commission_status AS ENUM ('pending', 'approved', 'paid', 'rejected');

-- ensure type consent_type
CREATE TYPE consent_type AS ENUM ('marketing', 'analytics', 'third_party', 'data_processing');

-- ensure type creator_status
CREATE TYPE creator_status AS ENUM ('pending', 'approved', 'active', 'paused', 'terminated', 'inactive');

-- ensure type creator_tier
CREATE TYPE creator_tier AS ENUM ('bronze', 'silver', 'gold', 'platinum');

-- ensure type financial_status
CREATE TYPE financial_status AS ENUM ('pending', 'authorized', 'paid', 'partially_paid', 'partially_refunded', 'refunded', 'voided');

-- ensure type fulfillment_status
CREATE TYPE fulfillment_status AS ENUM ('unfulfilled', 'partial', 'fulfilled');

-- ensure type google_feed_sync_status
CREATE TYPE google_feed_sync_status AS ENUM ('running', 'completed', 'failed', 'cancelled');

-- ensure type google_product_condition
CREATE TYPE google_product_condition AS ENUM ('new', 'refurbished', 'used');

-- ensure type incentive_code_status
CREATE TYPE incentive_code_status AS ENUM ('active', 'redeemed', 'expired');

-- ensure type order_status
CREATE TYPE order_status AS ENUM ('pending', 'confirmed', 'processing', 'shipped', 'delivered', 'cancelled', 'refunded');

-- ensure type payout_method
CREATE TYPE payout_method AS ENUM ('stripe', 'wise', 'paypal', 'bank_transfer', 'manual');

-- ensure type payout_status
CREATE TYPE payout_status AS ENUM ('pending', 'processing', 'completed', 'failed', 'cancelled');

-- ensure type privacy_request_status
CREATE TYPE privacy_request_status AS ENUM ('pending', 'processing', 'completed', 'rejected');

-- ensure type privacy_request_type
CREATE TYPE privacy_request_type AS ENUM ('export', 'delete', 'do_not_sell', 'disclosure');

-- ensure type privacy_verification_method
CREATE TYPE privacy_verification_method AS ENUM ('email', 'phone', 'identity');

-- ensure type product_status
CREATE TYPE product_status AS ENUM ('draft', 'active', 'archived');

-- ensure type promo_redirect_target
CREATE TYPE promo_redirect_target AS ENUM ('HOME', 'PRODUCT', 'COLLECTION');

-- ensure type review_status
CREATE TYPE review_status AS ENUM ('pending', 'approved', 'rejected', 'spam');

-- ensure type rfm_segment_type
CREATE TYPE rfm_segment_type AS ENUM ('champions', 'loyal', 'new_customers', 'at_risk', 'hibernating', 'potential', 'uncategorized');

-- ensure type subscription_frequency
CREATE TYPE subscription_frequency AS ENUM ('weekly', 'biweekly', 'monthly', 'bimonthly', 'quarterly', 'semiannually', 'annually');

-- ensure type subscription_provider
CREATE TYPE subscription_provider AS ENUM ('loop', 'custom', 'recharge', 'bold');

-- ensure type subscription_status
CREATE TYPE subscription_status AS ENUM ('active', 'paused', 'cancelled', 'expired', 'pending');

-- ensure type topup_status
CREATE TYPE topup_status AS ENUM ('pending', 'succeeded', 'failed', 'canceled', 'reversed');
