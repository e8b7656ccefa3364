// Sends events to the bus: in batches, what the bus refuses for a moment again, never in silence.

import { EventBridgeClient, PutEventsCommand, type PutEventsRequestEntry } from "@aws-sdk/client-eventbridge";
import { APP_EVENT_NAMES, type AppEvents } from "./events.ts";

/** Entries of one PutEvents call, EventBridge's most. */
const BATCH = 10;
/** Bytes of an event, and of one call: EventBridge takes 1 MiB, names and envelope need some of it. */
const MAX_BYTES = 900_000;
/** Bytes of an entry beside its detail. */
const ENTRY_BYTES = 200;
const MAX_KEY = 512;
/** What the jobs themselves publish as; applications may not. */
const OWN_SOURCE = "cgk.jobs";
const ATTEMPTS = 4;
const FIRST_WAIT_MS = 100;
/** Codes of entries that the bus may take a moment later. */
const PASSING: ReadonlySet<string> = new Set([
  "ThrottlingException",
  "InternalFailure",
  "InternalException",
  "ServiceUnavailable",
]);
const TENANT = /^(?:[a-z0-9_]{1,50}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$/;
const KNOWN: ReadonlySet<string> = new Set(APP_EVENT_NAMES);

/** Available in Node and in every edge runtime; declared here because no library of types is needed otherwise. */
declare const TextEncoder: new () => { encode(text: string): Uint8Array };
declare const setTimeout: (run: () => void, ms: number) => unknown;

/** An event of a tenant (slug or organizations.id). `key`: the same key and event start each job once. */
export type Outgoing = {
  [N in keyof AppEvents]: { name: N; tenantId: string; payload: AppEvents[N]; key?: string };
}[keyof AppEvents];

export interface PublisherOptions {
  /** EventBridge source: the application's name, e.g. "shop.app". */
  source: string;
  /** Name of the bus, `cgk` unless given. */
  bus?: string;
  /** A client of your own; else one from the standard AWS_* environment. */
  client?: Pick<EventBridgeClient, "send">;
  /** Waits between attempts; tests replace it. */
  sleep?: (ms: number) => Promise<void>;
}

/** An event that the bus did not take: its place in the list that was given, and the bus's code. */
export interface Failed {
  position: number;
  code: string;
}

/** Nothing was sent: the event, the tenant or the key cannot be right. The text holds no value of the payload. */
export class PublishRefused extends Error {
  override readonly name = "PublishRefused";
}

/** Some events were not taken, after all attempts. `ids`: the others' event ids, undefined for those of `failed`. */
export class PublishFailed extends Error {
  override readonly name = "PublishFailed";
  readonly failed: readonly Failed[];
  readonly ids: readonly (string | undefined)[];

  constructor(failed: readonly Failed[], ids: readonly (string | undefined)[]) {
    const codes = [...new Set(failed.map((each) => each.code))].sort().join(", ");
    super(`${failed.length} of ${ids.length} events were not taken by the bus: ${codes}`);
    this.failed = failed;
    this.ids = ids;
  }
}

/** Publishes to one bus as one application. */
export class Publisher {
  readonly #source: string;
  readonly #bus: string;
  readonly #client: Pick<EventBridgeClient, "send">;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(options: PublisherOptions) {
    if (options.source === OWN_SOURCE || options.source.startsWith("aws.")) {
      throw new PublishRefused(`the source ${JSON.stringify(options.source)} is not an application's`);
    }
    this.#source = options.source;
    this.#bus = options.bus ?? "cgk";
    this.#client = options.client ?? new EventBridgeClient({});
    this.#sleep = options.sleep ?? ((ms) => new Promise((resolve) => void setTimeout(resolve, ms)));
  }

  /** Publish one event; its id on the bus. Throws PublishRefused, PublishFailed. */
  async publish<N extends keyof AppEvents>(
    name: N,
    tenantId: string,
    payload: AppEvents[N],
    options: { key?: string } = {},
  ): Promise<string> {
    const [id] = await this.publishAll([{ name, tenantId, payload, ...options } as Outgoing]);
    return id as string;
  }

  /** Publish many; their ids in the same order. All are checked before any is sent. */
  async publishAll(events: readonly Outgoing[]): Promise<string[]> {
    const entries = events.map((event) => this.#entry(event));
    const ids: (string | undefined)[] = entries.map(() => undefined);
    let waiting = entries.map((_, position) => position);
    let failed: Failed[] = [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      failed = [];
      for (const batch of batches(entries, waiting)) failed.push(...(await this.#put(entries, batch, ids)));
      waiting = failed.filter((each) => PASSING.has(each.code)).map((each) => each.position);
      const lasting = waiting.length < failed.length;
      if (waiting.length === 0 || lasting || attempt === ATTEMPTS - 1) break;
      // Full jitter: callers do not come back together.
      await this.#sleep(Math.random() * FIRST_WAIT_MS * 2 ** attempt);
    }
    if (failed.length > 0) throw new PublishFailed(failed, ids);
    return ids as string[];
  }

  #entry(event: Outgoing): PutEventsRequestEntry {
    if (!KNOWN.has(event.name)) throw new PublishRefused(`applications publish no event ${JSON.stringify(event.name)}`);
    if (!TENANT.test(event.tenantId)) {
      throw new PublishRefused("the tenant is neither a slug (a-z, 0-9, _) nor an organization's id");
    }
    if (event.key !== undefined && (event.key.length === 0 || event.key.length > MAX_KEY)) {
      throw new PublishRefused(`the key must have 1 to ${MAX_KEY} characters`);
    }
    const meta = event.key === undefined ? {} : { _meta: { key: event.key } };
    const detail = JSON.stringify({ ...event.payload, tenantId: event.tenantId, ...meta });
    if (bytes(detail) > MAX_BYTES) {
      throw new PublishRefused(`${event.name} has more than ${MAX_BYTES} bytes; split the work`);
    }
    return { EventBusName: this.#bus, Source: this.#source, DetailType: event.name, Detail: detail };
  }

  /** Send one batch; fills `ids`, gives what failed. */
  async #put(
    entries: readonly PutEventsRequestEntry[],
    batch: readonly number[],
    ids: (string | undefined)[],
  ): Promise<Failed[]> {
    const chosen = batch.map((position) => entries[position] as PutEventsRequestEntry);
    const answer = await this.#client.send(new PutEventsCommand({ Entries: chosen }));
    const failed: Failed[] = [];
    batch.forEach((position, n) => {
      const entry = answer.Entries?.[n];
      if (entry?.EventId !== undefined && !entry.ErrorCode) ids[position] = entry.EventId;
      else failed.push({ position, code: entry?.ErrorCode ?? "NoAnswer" });
    });
    return failed;
  }
}

/** Positions in batches that respect count and bytes. */
function* batches(entries: readonly PutEventsRequestEntry[], positions: readonly number[]): Generator<number[]> {
  let batch: number[] = [];
  let weight = 0;
  for (const position of positions) {
    const size = bytes(entries[position]?.Detail ?? "") + ENTRY_BYTES;
    if (batch.length > 0 && (batch.length === BATCH || weight + size > MAX_BYTES)) {
      yield batch;
      batch = [];
      weight = 0;
    }
    batch.push(position);
    weight += size;
  }
  if (batch.length > 0) yield batch;
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
