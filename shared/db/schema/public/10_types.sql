-- Enumerations that the tables of the jobs use.

-- ensure type balance_transaction_type
CREATE TYPE balance_transaction_type AS ENUM ('commission_pending', 'commission_available', 'project_payment', 'bonus', 'adjustment', 'withdrawal', 'store_credit');

-- ensure type creator_membership_status
CREATE TYPE creator_membership_status AS ENUM ('active', 'paused', 'terminated', 'pending');

-- ensure type creator_status
CREATE TYPE creator_status AS ENUM ('active', 'inactive', 'suspended', 'pending');

-- ensure type organization_status
CREATE TYPE organization_status AS ENUM ('onboarding', 'active', 'suspended');

-- ensure type user_role
CREATE TYPE user_role AS ENUM ('super_admin', 'owner', 'admin', 'member');

-- ensure type user_status
CREATE TYPE user_status AS ENUM ('active', 'invited', 'disabled', 'pending_verification');
