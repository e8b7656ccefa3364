"""Wire forms of the order events that are accepted and refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from shared.events import Event
from shared.events.alerts import AlertApiFailure, AlertCritical, AlertSecurity, AlertSystemError
from shared.events.customers import CustomerSync
from shared.events.operations import WorkflowTriggered
from shared.events.orders import OrderCreated, OrderFulfilled, OrderRefunded, OrderSync, OrderSyncBatch

RUN = "3f0f2f6e-0c8e-4f0e-9d6a-1d7c9d7b2a10"


@pytest.mark.parametrize(
    ("contract", "wire"),
    [
        (OrderSync, {"shopifyOrderId": 450789469, "updatedAt": "2026-11-20T10:00:00+01:00"}),
        (OrderSync, {"orderId": "gid://shopify/Order/1", "shopifyOrderId": None, "later": True}),
        (OrderSyncBatch, {"startDate": "2026-11-01"}),
        (OrderSyncBatch, {"startDate": "2026-11-01T00:00:00Z", "endDate": "2026-11-02"}),
        (OrderSyncBatch, {"orderIds": ["a"], "shopifyOrderIds": [1]}),
        (OrderSyncBatch, {"runId": RUN, "sliceNo": 0, "step": "load"}),
        (OrderCreated, {"orderId": "1", "totalAmount": -48.6, "customerId": None}),
        (OrderCreated, {"orderId": "1", "totalAmount": 10}),
        (CustomerSync, {"customerId": "c"}),
        (WorkflowTriggered, {"workflowId": "w", "entityType": "order", "entityId": "1"}),
        (AlertSystemError, {"errorCode": "E42", "errorMessage": "boom", "service": "pdf"}),
        (AlertApiFailure, {"service": "meta", "errorCode": 190, "errorMessage": "reconnect"}),
        (AlertSecurity, {"ipAddress": "2001:db8::1"}),
    ],
)
def test_what_publishers_send_is_understood(contract: type[Event], wire: dict[str, Any]) -> None:
    assert contract.model_validate_json(json.dumps(wire), strict=True)


@pytest.mark.parametrize(
    ("contract", "wire"),
    [
        (OrderSync, {}),
        (OrderSync, {"orderId": True}),
        (OrderSync, {"orderId": "1", "updatedAt": "2026-11-20T10:00:00"}),
        (OrderSyncBatch, {}),
        (OrderSyncBatch, {"orderIds": []}),
        (OrderSyncBatch, {"orderIds": ["1"], "startDate": "2026-11-01"}),
        (OrderSyncBatch, {"orderIds": ["1"] * 6000, "shopifyOrderIds": ["1"] * 4001}),
        (OrderSyncBatch, {"startDate": "2026-11-01", "limit": 251}),
        (OrderCreated, {"orderId": "1"}),
        (OrderCreated, {"orderId": "1", "totalAmount": "10"}),
        (OrderFulfilled, {"orderId": "1"}),
        (OrderRefunded, {"orderId": "1", "refundId": "2", "refundAmountCents": 0}),
        (CustomerSync, {}),
        (WorkflowTriggered, {"trigger": "order_created"}),
        (WorkflowTriggered, {"trigger": "a b", "entityType": "order", "entityId": "1"}),
        (WorkflowTriggered, {"trigger": "a", "entityType": "o", "entityId": "1", "context": {"x": "y" * 17_000}}),
        (AlertSystemError, {"title": "x"}),
        (AlertApiFailure, {"service": "meta", "errorMessage": "x", "failureCount": 0}),
        (AlertSecurity, {"ipAddress": "999.1.1.1"}),
        (AlertCritical, {"message": "x", "source": "health"}),
    ],
)
def test_what_cannot_be_meant_is_refused(contract: type[Event], wire: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        contract.model_validate_json(json.dumps(wire), strict=True)
