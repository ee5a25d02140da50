// Sends the same few calls through one unmodified client: node send.mjs CLIENT URL KEY
import { createRequire } from "node:module"

const require = createRequire(import.meta.url)
const [client, url, key] = process.argv.slice(2)
const moment = new Date("2026-11-01T10:00:00Z")
const fail = (error) => {
  console.error(error)
  process.exit(1)
}

async function segment() {
  const { Analytics } = require("@segment/analytics-node")
  const analytics = new Analytics({ writeKey: key, host: url, maxRetries: 2 })
  analytics.on("error", fail)
  analytics.track({ anonymousId: "visitor", event: "Product Viewed", properties: { product_id: "sku-1" } })
  analytics.identify({ userId: "u1", anonymousId: "visitor", traits: { email: "a@example.com" } })
  for (let n = 0; n < 60; n++)
    analytics.track({ userId: "u1", event: "Product Added", timestamp: moment, properties: { price: 19.9 } })
  analytics.page({ userId: "u1", name: "Home", properties: { url: "https://shop.example.com/" } })
  analytics.screen({ userId: "u1", name: "Start" })
  analytics.group({ userId: "u1", groupId: "g" })
  analytics.alias({ previousId: "u0", userId: "u1" })
  await analytics.closeAndFlush()
}

async function rudderstack() {
  const Rudder = require("@rudderstack/rudder-sdk-node")
  const rudder = new (Rudder.default ?? Rudder)(key, { dataPlaneUrl: url, flushAt: 20, gzip: true })
  rudder.track({ anonymousId: "visitor", event: "Product Viewed", properties: { product_id: "sku-1" } })
  rudder.identify({ userId: "u1", anonymousId: "visitor", traits: { email: "a@example.com" } })
  for (let n = 0; n < 60; n++)
    rudder.track({ userId: "u1", event: "Product Added", originalTimestamp: moment, properties: { price: 19.9 } })
  rudder.page({ userId: "u1", name: "Home", properties: { url: "https://shop.example.com/" } })
  rudder.screen({ userId: "u1", name: "Start" })
  rudder.group({ userId: "u1", groupId: "g" })
  rudder.alias({ previousId: "u0", userId: "u1" })
  await new Promise((done) => rudder.flush((error) => (error ? fail(error) : done())))
}

async function posthog() {
  const { PostHog } = require("posthog-node")
  const hog = new PostHog(key, { host: url, flushAt: 20 })
  hog.on("error", fail)
  hog.capture({ distinctId: "visitor", event: "Product Viewed", properties: { $process_person_profile: false } })
  hog.capture({ distinctId: "u1", event: "$identify", properties: { $anon_distinct_id: "visitor" } })
  for (let n = 0; n < 60; n++)
    hog.capture({ distinctId: "u1", event: "add_to_cart", timestamp: moment, properties: { value: 19.9 } })
  hog.alias({ distinctId: "u1", alias: "u0" })
  await hog.shutdown()
}

await { segment, rudderstack, posthog }[client]().catch(fail)
