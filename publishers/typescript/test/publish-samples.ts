// Publishes one sample of every event, some of them as one batch; prints {event name: its id on the bus}.

import { APP_EVENT_NAMES, Publisher } from "../src/index.ts";
import { SAMPLES } from "./samples.ts";

declare const console: { log(text: string): void };

const publisher = new Publisher({ source: "publishers.test" });
const ids = await publisher.publishAll(SAMPLES);
const published = Object.fromEntries(SAMPLES.map((event, position) => [event.name, ids[position]]));
console.log(JSON.stringify({ published, known: APP_EVENT_NAMES }));
