export * from "./events.ts";
export { type Failed, type Outgoing, PublishFailed, Publisher, type PublisherOptions, PublishRefused } from "./publisher.ts";
