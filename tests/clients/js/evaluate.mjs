// Evaluates flags through the unmodified OpenFeature SDK: node evaluate.mjs URL KEY; prints the details as JSON.
import { createRequire } from "node:module"

const require = createRequire(import.meta.url)
const { OpenFeature } = require("@openfeature/server-sdk")
const { OFREPProvider } = require("@openfeature/ofrep-provider")
const [url, key] = process.argv.slice(2)

const provider = (token) => new OFREPProvider({ baseUrl: url, headers: [["Authorization", `Bearer ${token}`]] })
await OpenFeature.setProviderAndWait(provider(key))
const client = OpenFeature.getClient()
const german = (targetingKey) => ({ targetingKey, country: "DE" })
const details = {}
for (let n = 0; n < 40; n++) details[`u${n}`] = await client.getStringDetails("colour", "none", german(`u${n}`))
details.french = await client.getStringDetails("colour", "none", { targetingKey: "u1", country: "FR" })
details.object = await client.getObjectDetails("layout", {}, german("u1"))
details.number = await client.getNumberDetails("price", 0, german("u1"))
details.boolean = await client.getBooleanDetails("banner", false, german("u1"))
details.mismatch = await client.getBooleanDetails("colour", false, german("u1"))
details.missing = await client.getStringDetails("nobody", "none", german("u1"))
details.keyless = await client.getStringDetails("colour", "none", {})
await OpenFeature.setProviderAndWait("wrong", provider("no-such-key"))
details.unauthorised = await OpenFeature.getClient("wrong").getStringDetails("colour", "none", german("u1"))
console.log(JSON.stringify(details))
await OpenFeature.close()
