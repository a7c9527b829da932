/**
 * A process of test/store.test.ts: saves `<prefix>-<i>.example` for i below a count into a store,
 * one after another, and writes a line with the subject when one is saved.
 */
import process from "node:process";
import { CertificateStore, ZERO_TIME } from "../lib/store.ts";

const [path = "", prefix = "", count = ""] = process.argv.slice(2);
const store = await CertificateStore.open(path, () => new Date());
for (let i = 0; i < Number(count); i++) {
  const subject = `${prefix}-${i}.example`;
  await store.save({
    provider: "lego",
    issuer: "",
    privateKey: "key",
    certificate: "certificate",
    subject,
    altNames: null,
    notAfter: "2126-01-01T00:00:00Z",
    ocspResponse: null,
    nextOcspUpdate: ZERO_TIME,
    ariNextUpdate: ZERO_TIME,
    ariRenewalTime: ZERO_TIME,
    ariExplanation: "",
  });
  process.stdout.write(`${subject}\n`);
}
