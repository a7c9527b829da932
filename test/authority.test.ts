/** Accounts with a CA, against a transport that answers as a CA would. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { accountFile } from "../lib/account.ts";
import { Authority } from "../lib/authority.ts";
import type { HttpClient } from "../lib/httpsclient.ts";
import { temporaryFolder } from "./support.ts";

const ZEROSSL = "https://acme.zerossl.com/v2/DV90";
const BINDING = "https://api.zerossl.com/acme/eab-credentials-email";

const decode = (text: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(text, "base64url").toString());

test("ZeroSSL gives an external account to the e-mail address", async (t) => {
  const folder = await temporaryFolder(t);
  const asked: string[] = [];
  let binding: Record<string, string> = {};
  const http: HttpClient = ({ method, url, body = "" }) => {
    asked.push(`${method} ${url}`);
    const [status, fields, json] = ((): [number, string[], unknown] => {
      if (url === ZEROSSL) {
        const names = ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"];
        const urls = names.map((name) => [name, `https://acme.zerossl.com/${name}`]);
        const meta = { externalAccountRequired: true };
        return [200, [], { ...Object.fromEntries(urls), meta }];
      }
      if (url === BINDING) {
        assert.equal(body, "email=a%40example.com");
        return [200, [], { success: true, eab_kid: "kid-1", eab_hmac_key: "c2VjcmV0" }];
      }
      if (url.endsWith("/newNonce")) return [200, ["Replay-Nonce", "bm9uY2U"], {}];
      const { payload } = JSON.parse(String(body));
      binding = decode(payload).externalAccountBinding as Record<string, string>;
      return [201, ["Location", "https://acme.zerossl.com/acct/1"], { status: "valid" }];
    })();
    return Promise.resolve({ status, fields, body: Buffer.from(JSON.stringify(json)) });
  };
  const userData = join(folder, "user.pem");
  const authority = new Authority({
    ...{ directory: ZEROSSL, first: true, email: "a@example.com", http },
    account: accountFile(userData, ZEROSSL, true),
    progress: () => {},
  });
  assert.equal((await authority.client()).accountUrl, "https://acme.zerossl.com/acct/1");
  assert.equal(decode(binding.protected ?? "").kid, "kid-1");
  assert.equal(decode(binding.protected ?? "").alg, "HS256");
  assert.equal(asked.filter((one) => one.includes("eab-credentials")).length, 1);
  const stored = JSON.parse(await readFile(userData, "utf8"));
  assert.equal(stored.registration.uri, "https://acme.zerossl.com/acct/1");
  assert.equal(stored.email, "a@example.com");
});
