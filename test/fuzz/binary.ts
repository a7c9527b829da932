/** Codecs of bytes: ClientHello, DER and what is made of it, DNS messages. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import { readClientHello } from "../../lib/clienthello.ts";
import * as der from "../../lib/der.ts";
import {
  addressText,
  caaRecord,
  decodeMessage,
  DnsMessageError,
  type DnsRecord,
  encodeMessage,
  encodeName,
  nameOf as dnsName,
  txtStrings,
  TYPE,
} from "../../lib/dnsmsg.ts";
import { ocspRequest, readOcspResponse } from "../../lib/ocsp.ts";
import { certificateNames, fromPem, OID, readCertificate, toPem } from "../../lib/x509.ts";
import { extension, issue, nameOf, signatureOf } from "../pki.ts";
import { record, vectors as hellos } from "../vectors/clienthello.ts";
import { badTimes, times, vectors as derVectors } from "../vectors/der.ts";
import { messages } from "../vectors/dnsmsg.ts";
import { ecKey } from "../vectors/jose.ts";
import { kindOf, same, type Target } from "./fuzzer.ts";
import type { Random } from "./random.ts";

const fromHex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ""), "hex");

/** The bytes of a row whose error is of this class; anything else is a finding. */
function refused(error: unknown, ...classes: readonly (new (...of: never[]) => Error)[]): string {
  if (error instanceof Error && classes.some((one) => error.constructor === one)) {
    return kindOf(error);
  }
  throw error;
}

/** Nothing is said too early, and what came before is never unsaid. */
function testHello(input: Buffer, random: Random): string {
  const whole = readClientHello(input);
  const part = readClientHello(input.subarray(0, random.below(input.length + 1)));
  if (whole.state === "more") {
    assert.ok(whole.need > input.length);
    assert.notEqual(part.state, "hello");
    return "more";
  }
  if (part.state === "more") {
    if (whole.state === "hello") assert.ok(part.need <= input.length);
  } else if (whole.state !== "malformed") same(part, whole);
  else assert.equal(part.state, "malformed"); // the rest of what came may be wrong as well
  if (whole.state === "malformed") return whole.message.replace(/\d+/g, "");
  if (whole.state === "plaintext") return whole.state;
  const { serverName = "", alpn } = whole.hello;
  assert.doesNotMatch(serverName, /[A-Z]/);
  return `hello ${serverName === ""} ${alpn.length}`;
}

function encode({ tag, content, children }: der.DerNode): Buffer {
  return children.length > 0 ? der.tlv(tag, ...children.map(encode)) : der.tlv(tag, content);
}

function testDer(input: Buffer): string {
  try {
    const node = der.readDer(input);
    same(encode(node).toString("hex"), node.raw.toString("hex"));
    const leaves = [node, ...node.children, ...node.children.flatMap(({ children }) => children)];
    let told = "";
    for (const leaf of leaves.slice(0, 8)) {
      told += leaf.tag % 32;
      for (const read of [der.readInteger, der.readTime]) {
        try {
          read(leaf);
          told += "!";
        } catch (error) {
          refused(error, der.DerError);
        }
      }
    }
    return told;
  } catch (error) {
    return refused(error, der.DerError);
  }
}

const key = createPrivateKey({ key: ecKey, format: "jwk" });
const issuer = issue({ subject: "Issuer", key });
const OCSP_URL = der.sequence(
  der.sequence(der.oid("1.3.6.1.5.5.7.48.1"), der.tlv(0x86, Buffer.from("http://ocsp.example/"))),
);
const leaf = issue({
  ...{ subject: "Leaf", issuer, key, serial: Buffer.from([5]) },
  names: ["a.example", "*.b.example", "192.0.2.1"],
  extensions: [extension("1.3.6.1.5.5.7.1.1", OCSP_URL)],
});
const leafPem = leaf.cert, issuerPem = issuer.cert;
const now = new Date();

function testCertificate(input: Buffer): string {
  const pem = toPem("CERTIFICATE", input);
  let told = "";
  const tried = [
    () => certificateNames(pem).length,
    () => Number(readCertificate(pem).extension(OID.subjectAltName) !== undefined),
    () => ocspRequest(pem, issuerPem).url ?? "",
    () => ocspRequest(leafPem, pem).request.length,
  ];
  for (const attempt of tried) {
    try {
      told += ` ${attempt()}`;
    } catch (error) {
      told += refused(error, der.DerError, Error);
    }
  }
  return told.slice(0, 200);
}

/** Only what is signed may say anything; what it says can't be changed by changing bytes. */
function testOcsp(input: Buffer): string {
  try {
    const until = readOcspResponse(input, leafPem, issuerPem, now);
    assert.equal(until?.getTime(), END.getTime());
    return "good";
  } catch (error) {
    return refused(error, der.DerError, Error);
  }
}

const START = new Date(Math.trunc(now.getTime() / 1000) * 1000 - 60_000);
const END = new Date(START.getTime() + 86_400_000);

const general = (date: Date): Buffer =>
  der.tlv(0x18, Buffer.from(date.toISOString().replace(/\.\d+|[-:T]/g, "")));

/** A response that says of the leaf what `status` is, signed. */
function ocspResponse(status: Buffer): Buffer {
  // The CertID is what the request asks about.
  const asked = der.readDer(ocspRequest(leafPem, issuerPem).request);
  const certId = asked.children[0].children.at(-1)!.children[0].children[0].raw;
  const single = der.sequence(certId, status, general(START), der.explicit(0, general(END)));
  const by = der.explicit(1, nameOf("Issuer"));
  const data = der.sequence(by, general(START), der.sequence(single));
  const basic = der.sequence(data, ...signatureOf(key, data));
  const bytes = der.sequence(der.oid("1.3.6.1.5.5.7.48.1.1"), der.octetString(basic));
  return der.sequence(der.tlv(0x0a, Buffer.of(0)), der.explicit(0, bytes));
}

const READERS: Readonly<Record<number, (data: Buffer) => unknown>> = {
  [TYPE.A]: addressText,
  [TYPE.AAAA]: addressText,
  [TYPE.NS]: dnsName,
  [TYPE.CNAME]: dnsName,
  [TYPE.TXT]: txtStrings,
  [TYPE.CAA]: caaRecord,
};

function testDns(input: Buffer): string {
  try {
    const message = decodeMessage(input);
    const { questions, answers, authorities, additionals, lastRecordAt: _, ...rest } = message;
    const records = [...answers, ...authorities, ...additionals];
    let told = `${questions.length} ${records.length} ${message.tc} ${message.rcode}`;
    for (const record of records) if (told.length < 40) told += read(record);
    for (const { name } of [...questions, ...records]) checkName(name);
    const bytes = encodeMessage(message);
    if (bytes.length > 65_535) return told;
    const { lastRecordAt: __, ...again } = decodeMessage(bytes);
    same(again, { ...rest, questions, answers, authorities, additionals });
    return told;
  } catch (error) {
    return refused(error, DnsMessageError);
  }
}

function read({ type, data }: DnsRecord): string {
  try {
    READERS[type]?.(data);
    return ` ${type in READERS ? type : "?"}`;
  } catch (error) {
    return ` ${refused(error, DnsMessageError)}`;
  }
}

/** What was read is one name, however odd, and without what ends a line. */
function checkName(name: string): void {
  assert.match(name, /^([!-~]*)$/);
  try {
    encodeName(name);
  } catch (error) {
    refused(error, DnsMessageError);
  }
}

const timeValues = (): Buffer[] =>
  [...times.map(({ input }) => input), ...badTimes].map((text) =>
    der.tlv(text.length === 15 ? 0x18 : 0x17, Buffer.from(text))
  );

const OCTETS = [[0x30, 0x80], [0x30, 0x82, 0x01, 0x00], [0x02, 0x01, 0x00], [0x05, 0x00], [0x1f]]
  .concat([[0xa0], [0xa3], [0x06, 0x03, 0x55, 0x1d, 0x11], [0x17, 0x0d], [0x84, 0xff, 0xff, 0xff]])
  .map((bytes) => Buffer.from(bytes));
const LABELS = [[0xc0, 0x0c], [0xc0, 0x00], [0x00], [0x3f], [0x00, 0x10, 0x00, 0x01], [0x01, 0x01]]
  .concat([[0x00, 0x29], [0x00, 0x1c], [0x81, 0x80], [0x83, 0x80], [0xff, 0xff]])
  .map((bytes) => Buffer.from(bytes));
const HELLO_PARTS = [record("01000000"), "160301", "0303", "0000", "0010", "002b", "020304", "14"]
  .concat("000e000c02683208687474702f312e31", "0000000e000c0000096c6f63616c686f7374", "ffff")
  .map(fromHex);

export const binaryTargets: readonly Target[] = [
  {
    name: "hello",
    seeds: () => hellos.map(({ input }) => fromHex(input)),
    words: HELLO_PARTS,
    test: testHello,
  },
  {
    name: "der",
    seeds: () => [
      ...derVectors.map(({ input }) => fromHex(input)).filter(({ length }) => length < 4096),
      ...timeValues(),
      fromPem(leafPem),
    ],
    words: OCTETS,
    test: testDer,
  },
  {
    name: "x509",
    seeds: () => [fromPem(leafPem), fromPem(issuerPem), fromPem(issue({ subject: "" }).cert)],
    words: OCTETS,
    cost: 4,
    test: testCertificate,
  },
  {
    name: "ocsp",
    seeds: () => [
      ocspResponse(der.tlv(0x80)),
      ocspResponse(der.tlv(0x82)),
      ocspResponse(der.tlv(0xa1, general(START))),
      der.sequence(der.tlv(0x0a, Buffer.of(6))),
    ],
    words: OCTETS,
    cost: 4,
    test: testOcsp,
  },
  {
    name: "dns",
    seeds: () => messages.map(({ input }) => fromHex(input)).filter(({ length }) => length < 4096),
    words: LABELS,
    limit: 2048,
    test: testDns,
  },
];
