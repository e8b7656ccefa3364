"""A stateful fake of Google's Merchant API v1 and of Google's token address: accounts with data sources and product
inputs, processed products whose standing changes over time, quotas, and trouble on demand.

POST   /token                                                          refresh_token, or a service account's JWT
POST   /products/v1/accounts/<a>/productInputs:insert?dataSource=      upsert by data source, language, label, offer id
PATCH  /products/v1/accounts/<a>/productInputs/<name>?dataSource=&updateMask=
DELETE /products/v1/accounts/<a>/productInputs/<name>?dataSource=
GET    /products/v1/accounts/<a>/products?pageSize=&pageToken=         processed products
GET, POST /datasources/v1/accounts/<a>/dataSources
GET    /                     the products, to be read in a browser
GET    /_fake/products       state per product: standing, issues, price, availability
GET    /_fake/health, /_fake/requests
POST   /_fake/faults         {"kind", "count", "match", "retry_after"}; DELETE takes all back

A request is judged by developers.google.com/merchant/api (products_v1, datasources_v1, quotas-limits, error-handling,
looked at 2026-11); what is wrong with it is answered as Google answers, and stands in `problems`. A product is pending
for a quarter of an hour after its input, then approved, or what its issues say; an input is forgotten 30 days after its
last insert.

    python -m shared.fakes.merchant --port 4014 --account 1234567 --refresh-token rt_fake
"""

from shared.fakes.merchant.account import Account, Input
from shared.fakes.merchant.fake import Asked, Fault, MerchantFake

__all__ = ["Account", "Asked", "Fault", "Input", "MerchantFake"]
