"""The mails that ask for a review: when they go, what stops them, what they say, and what they achieve.

    settings    what the tenant has set, and its templates
    timing      the local hour at which mails go, waits before reminders and repetitions
    stops       why a mail must not go (any more); whether a review of the order is there
    orders      whom to ask about what; how far an order's parcels are
    queue       rows of review_email_queue: their types, their log, how they end
    sending     from claimed rows to mails that are out
    link        the signed address in a mail
    incentives  whether a review has earned a discount, and its code
    shop        what Shopify is asked: deliveries, discount codes
    figures     what came of the mails
    mails       built-in texts; tenants' templates; delivery events

    pending ── awaiting_delivery ── scheduled ── processing ── sent | skipped | failed
                                        ▲            │                         │
                                        └────────────┴─────────────────────────┘
                                          deferred, lease over        tried again until dead

`processing` belongs to the run named in trigger_run_id until lease_expires_at; whoever finishes a row names both. A
row is dead when it has failed max_attempts times. Mails are told apart for the mail service by the row and by how often
a person has sent it again, so a row that is tried twice is one mail.
"""
