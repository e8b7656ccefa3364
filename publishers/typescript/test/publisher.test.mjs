// node --test: batches, repeated tries, refusals; with a client that answers as it is told.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Publisher, PublishFailed, PublishRefused } from "../src/index.ts";

class Bus {
  calls = [];
  #answers;

  /** `answers`: per call the codes by position; a call without answers takes everything. */
  constructor(...answers) {
    this.#answers = answers;
  }

  async send(command) {
    const entries = command.input.Entries;
    const codes = this.#answers[this.calls.length] ?? [];
    this.calls.push(entries);
    return {
      Entries: entries.map((entry, n) =>
        codes[n] ? { ErrorCode: codes[n] } : { EventId: `${entry.DetailType}-${JSON.parse(entry.Detail).orderId}` },
      ),
    };
  }
}

function publisher(bus) {
  const slept = [];
  const made = new Publisher({ source: "shop.app", bus: "cgk-test", client: bus, sleep: async (ms) => slept.push(ms) });
  return [made, slept];
}

const order = (n) => ({ name: "order.sync", tenantId: "acme", payload: { orderId: String(n) } });
const many = (n) => Array.from({ length: n }, (_, position) => order(position));

test("an event carries tenant, payload and key, and nothing else", async () => {
  const bus = new Bus();
  const [made] = publisher(bus);
  const id = await made.publish("order.sync", "acme", { orderId: "7", source: "app" }, { key: "k-7" });
  assert.equal(id, "order.sync-7");
  const [[entry]] = bus.calls;
  assert.deepEqual(JSON.parse(entry.Detail), { tenantId: "acme", orderId: "7", source: "app", _meta: { key: "k-7" } });
  assert.deepEqual([entry.EventBusName, entry.Source, entry.DetailType], ["cgk-test", "shop.app", "order.sync"]);
});

test("the tenant of the call stands over one in the payload", async () => {
  const bus = new Bus();
  const [made] = publisher(bus);
  await made.publish("order.sync", "acme", { orderId: "7", tenantId: "globex" });
  assert.equal(JSON.parse(bus.calls[0][0].Detail).tenantId, "acme");
});

test("25 events go in batches of 10, 10 and 5, ids in order", async () => {
  const bus = new Bus();
  const [made] = publisher(bus);
  const ids = await made.publishAll(many(25));
  assert.deepEqual(bus.calls.map((call) => call.length), [10, 10, 5]);
  assert.deepEqual(ids, many(25).map((event) => `order.sync-${event.payload.orderId}`));
});

test("a batch stays below the bytes of one call", async () => {
  const bus = new Bus();
  const [made] = publisher(bus);
  const large = { name: "webhook.received", tenantId: "acme", payload: { body: { text: "x".repeat(500_000) } } };
  await made.publishAll([large, large, large]);
  assert.deepEqual(bus.calls.map((call) => call.length), [1, 1, 1]);
});

test("what the bus refuses for a moment is sent again, alone", async () => {
  const bus = new Bus([undefined, "ThrottlingException"], ["InternalFailure"]);
  const [made, slept] = publisher(bus);
  const ids = await made.publishAll(many(3));
  assert.deepEqual(bus.calls.map((call) => call.length), [3, 1, 1]);
  assert.deepEqual(ids, ["order.sync-0", "order.sync-1", "order.sync-2"]);
  assert.equal(slept.length, 2);
});

test("what the bus never takes is an error that names places and codes", async () => {
  const bus = new Bus([undefined, "AccessDeniedException"]);
  const [made, slept] = publisher(bus);
  await assert.rejects(made.publishAll(many(2)), (error) => {
    assert.ok(error instanceof PublishFailed);
    assert.deepEqual(error.failed, [{ position: 1, code: "AccessDeniedException" }]);
    assert.deepEqual(error.ids, ["order.sync-0", undefined]);
    return true;
  });
  assert.equal(slept.length, 0);
});

test("tries end after four", async () => {
  const bus = new Bus(...Array(9).fill(["ThrottlingException"]));
  const [made] = publisher(bus);
  await assert.rejects(made.publishAll(many(1)), PublishFailed);
  assert.equal(bus.calls.length, 4);
});

for (const [what, event] of [
  ["an unknown event", { name: "order.unknown", tenantId: "acme", payload: {} }],
  ["an event of the jobs", { name: "inventory.lowStock", tenantId: "acme", payload: {} }],
  ["a tenant that is no slug", { ...order(1), tenantId: "Acme Inc" }],
  ["an empty key", { ...order(1), key: "" }],
  ["a key of 513 characters", { ...order(1), key: "k".repeat(513) }],
  ["an event above the bytes", { ...order(1), payload: { orderId: "x".repeat(900_001) } }],
]) {
  test(`${what} is refused, and nothing of the batch is sent`, async () => {
    const bus = new Bus();
    const [made] = publisher(bus);
    await assert.rejects(made.publishAll([order(0), event]), PublishRefused);
    assert.equal(bus.calls.length, 0);
  });
}

test("nobody publishes as the jobs or as AWS", () => {
  for (const source of ["cgk.jobs", "aws.s3"]) {
    assert.throws(() => new Publisher({ source, client: new Bus() }), PublishRefused);
  }
});
