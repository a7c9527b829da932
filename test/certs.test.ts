import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { Certificates } from "../lib/certs.ts";
import { parseRoutes } from "../lib/routes.ts";
import { CertificateStore, newRecord } from "../lib/store.ts";
import { selfSigned } from "../lib/x509.ts";
import { type Scope, temporaryFolder } from "./support.ts";

const HOUR = 3_600_000;

/** Moves the clock on; it is put right after the test. */
function movableClock(t: Scope): (by: number) => void {
  const real = Date.now;
  let offset = 0;
  Date.now = () => real() + offset;
  t.after(() => Date.now = real);
  return (by) => void (offset += by);
}

test("Certificates gives a staple to its end and no further, and keeps the context till then", async (t) => {
  const move = movableClock(t);
  const store = await CertificateStore.open(
    join(await temporaryFolder(t), "certs.json"),
    () => new Date(),
  );
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [notBefore, notAfter] = [-HOUR, 100 * HOUR].map((at) => new Date(Date.now() + at));
  const dates = { notBefore: notBefore!, notAfter: notAfter! };
  const serial = Buffer.from("11", "hex");
  await store.save({
    ...newRecord("lego", ["a.example.com"], notAfter!),
    privateKey: privateKey.export({ format: "pem", type: "sec1" }).toString(),
    certificate: selfSigned({ names: ["a.example.com"], key: privateKey, serial, ...dates }),
    ocspResponse: "MAMKAQA=",
    nextOcspUpdate: new Date(Date.now() + 2 * HOUR).toISOString(),
  });
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const options = { providers: ["lego"], wildcards: [], log: quiet };
  const certificates = new Certificates(store, options);
  const [route] = parseRoutes("route a.example.com\n  upstream 127.0.0.1:1\n").routes;
  const first = certificates.find(route!);
  assert.deepEqual(first?.staple, Buffer.from("MAMKAQA=", "base64"));
  move(1.9 * HOUR);
  assert.equal(certificates.find(route!), first);
  move(0.2 * HOUR);
  const second = certificates.find(route!);
  assert.equal(second?.staple, undefined);
  assert.ok(second);
  move(HOUR);
  assert.equal(certificates.find(route!), second);
});
