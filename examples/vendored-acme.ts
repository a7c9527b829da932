/** A certificate by `lib/acme.ts` and what it needs: DIRECTORY NAME PORT, proven by http-01. */
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import process from "node:process";
import { AcmeClient, type AcmeOptions, toIdentifier } from "../lib/acme.ts";
import { certificateRequest, privateKeyPem } from "../lib/x509.ts";

const [directory = "", name = "", port] = process.argv.slice(2);
const [accountKey, key] = [1, 2].map(() => generateKeyPairSync("ec", { namedCurve: "P-256" }));
const http: AcmeOptions["http"] = async ({ url, fields = [], ...request }) => {
  const headers = fields.flatMap((each, i) => i % 2 ? [] : [[each, fields[i + 1]]]);
  const answer = await fetch(url, { ...request, headers } as RequestInit);
  const body = Buffer.from(await answer.arrayBuffer());
  return { status: answer.status, fields: [...answer.headers].flat(), body };
};
const client = new AcmeClient({ directory, http, key: accountKey.privateKey });
await client.newAccount();
const order = await client.newOrder({ identifiers: [toIdentifier(name)] });
const { challenges } = await client.getAuthorization(order.authorizations[0]);
const { token = "", url } = challenges.find(({ type }) => type === "http-01")!;
const server = createServer((_, answer) => void answer.end(client.keyAuthorization(token)));
await new Promise<void>((resolve) => server.listen(Number(port), resolve));
await client.respond(url);
await client.waitForAuthorization(order.authorizations[0]);
server.close();
const csr = certificateRequest({ names: [name], key: key.privateKey });
const { certificate = "" } = await client.finalize(order, csr);
console.log(await client.getCertificate(certificate) + privateKeyPem(key.privateKey));
