"""Applications: the rules that the twelve jobs of a review share.

resolve        which application and which creator an id means
reviews        the row of a review: who waits, what was decided
approvals      what an approval writes in one transaction, by the modules that follow
identity       identity, membership and the tenant's own row of a creator
commission     the rate of an approved creator
codes          a creator's discount code: its name and its reservation
discounts      the same code in the tenant's shop
onboarding     the list of steps of a new creator
contracts      documents that a new creator is to sign
queued         mails of an applicant that still wait
links          addresses in the admin app and in the portal
slack_types    what each notice to Slack says; slack_posts sends it
waiting        another run holds the mail or the post
conversions    a step of the funnel told to Meta and GA4
"""
