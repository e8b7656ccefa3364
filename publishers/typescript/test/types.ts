// What the compiler must refuse; never run. A line that it takes makes `tsc --noEmit` fail.

import { type OrderSync, Publisher } from "../src/index.ts";

export async function wrong(publisher: Publisher): Promise<void> {
  // @ts-expect-error no such event
  await publisher.publish("order.unknown", "acme", {});
  // @ts-expect-error an id is text
  await publisher.publish("order.sync", "acme", { orderId: 1001 });
  // @ts-expect-error a member that the event does not have
  await publisher.publish("order.sync", "acme", { orderNumber: "1001" });
  // @ts-expect-error one of some words
  await publisher.publish("order.sync", "acme", { orderId: "1001", source: "elsewhere" });
  // @ts-expect-error the jobs publish it, applications listen
  await publisher.publish("inventory.lowStock", "acme", {});
  // @ts-expect-error another event's payload
  await publisher.publishAll([{ name: "order.sync", tenantId: "acme", payload: { provider: "shopify" } }]);
}

export async function right(publisher: Publisher, payload: OrderSync): Promise<string> {
  await publisher.publish("order.sync", "acme", { shopifyOrderId: "1001", updatedAt: null });
  return publisher.publish("order.sync", "acme", payload, { key: "order-1001" });
}
