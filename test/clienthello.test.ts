import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import {
  fatalAlert,
  HELLO_LIMIT,
  type HelloResult,
  readClientHello,
  UNRECOGNIZED_NAME,
} from "../lib/clienthello.ts";
import {
  type HelloExpectation,
  type HelloVector,
  NODE_24,
  record,
  vectors,
} from "./vectors/clienthello.ts";

/** A result without its message, which is for people. */
function outcome(result: HelloResult): HelloExpectation {
  if (result.state !== "malformed") return result;
  assert.ok(result.message.length > 0);
  return { state: "malformed", alert: result.alert };
}

/** Reads as a caller does who waits for the bytes it is told to wait for. */
function readAsTold(bytes: Buffer): { result: HelloResult; calls: number } {
  let size = 0;
  for (let calls = 1;; calls++) {
    const result = readClientHello(bytes.subarray(0, size));
    if (result.state !== "more" || result.need > bytes.length) return { result, calls };
    assert.ok(result.need > size, `${size} bytes, and told to wait for ${result.need}`);
    size = result.need;
  }
}

/** Every prefix says `more` until one says what the whole says, and all longer ones say it too. */
function check(rows: readonly HelloVector[]): void {
  assert.ok(rows.length > 0, "no vectors");
  for (const { name, input, expect } of rows) {
    const bytes = Buffer.from(input, "hex");
    let need = 0;
    let decided = false;
    for (let size = 0; size <= bytes.length; size++) {
      const result = outcome(readClientHello(bytes.subarray(0, size)));
      const where = `${name}, first ${size} bytes`;
      if (result.state === "more" && size < bytes.length) {
        assert.ok(!decided, `${where}: undecided again`);
        assert.ok(result.need > size && result.need >= need, `${where}: need ${result.need}`);
        need = result.need;
        continue;
      }
      decided = true;
      assert.deepEqual(result, expect, where);
      if (result.state === "hello") assert.ok(size >= need, `${where}: needed ${need}`);
    }
    const told = outcome(readAsTold(bytes).result);
    // A row that is no whole hello may end before what the reader waits for.
    if (told.state !== "more" || expect.state === "hello") assert.deepEqual(told, expect, name);
  }
}

const wrong: HelloVector = {
  name: "wrong",
  why: "proves that the runner can fail",
  input: NODE_24,
  expect: { state: "hello", hello: { serverName: "example.org", alpn: ["h2", "http/1.1"] } },
};

test("readClientHello() gives each vector's result at every split size", () => check(vectors));

test("the runner of the vectors refuses a wrong row and no rows", () => {
  assert.throws(() => check([wrong]), assert.AssertionError);
  assert.throws(() => check([]), assert.AssertionError);
});

test("readClientHello() puts a hello together from records cut anywhere", () => {
  const message = NODE_24.slice(10);
  const whole = readClientHello(Buffer.from(NODE_24, "hex"));
  assert.equal(whole.state, "hello");
  for (let cut = 2; cut < message.length; cut += 2) {
    const cutInTwo = record(message.slice(0, cut)) + record(message.slice(cut));
    assert.deepEqual(readClientHello(Buffer.from(cutInTwo, "hex")), whole, `cut at ${cut / 2}`);
  }
});

test("readClientHello() needs few calls for a hello in records of one byte", () => {
  const tiny = NODE_24.slice(10).match(/../g)!.map((byte) => record(byte)).join("");
  const { result, calls } = readAsTold(Buffer.from(tiny, "hex"));
  assert.deepEqual(result, readClientHello(Buffer.from(NODE_24, "hex")));
  assert.ok(calls < 60, `${calls} calls`);
});

test("readClientHello() never asks for more than its limit", () => {
  const header = Buffer.from("16030100010116030100010016030100013f160301000100", "hex");
  const records = Buffer.concat([header, ...Array(3_000).fill(Buffer.from("160301000100", "hex"))]);
  const { result } = readAsTold(records);
  assert.equal(result.state, "malformed");
  for (let size = 0; size < HELLO_LIMIT; size += 97) {
    const early = readClientHello(records.subarray(0, size));
    if (early.state === "more") assert.ok(early.need <= HELLO_LIMIT);
  }
});

test("readClientHello() has a value for every damaged hello", () => {
  const rows = vectors.filter(({ expect, input }) =>
    expect.state === "hello" && input.length < 800
  );
  assert.ok(rows.length > 5);
  for (const { input } of rows) {
    const bytes = Buffer.from(input, "hex");
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= flip;
        const { result } = readAsTold(damaged);
        assert.match(result.state, /^(more|hello|plaintext|malformed)$/);
      }
    }
  }
});

test("readClientHello() reads a view into a larger buffer", () => {
  const bytes = Buffer.concat([Buffer.alloc(7, 0x41), Buffer.from(NODE_24, "hex")]);
  assert.equal(readClientHello(new Uint8Array(bytes).subarray(7)).state, "hello");
});

test("readClientHello() reads what this runtime's TLS client sends", async (t) => {
  const server = net.createServer();
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  const protocols = ["http/1.1", "acme-tls/1"];
  const options = { host: "127.0.0.1", port, servername: "Www.Example.com" };
  const client = tls.connect({ ...options, ALPNProtocols: protocols });
  t.after(() => client.destroy());
  const refused = once(client, "error").catch((error) => [error]);
  const [socket] = await once(server, "connection") as [net.Socket];
  let bytes = Buffer.alloc(0);
  let result: HelloResult = { state: "more", need: 1 };
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    bytes = Buffer.concat([bytes, chunk]);
    result = readClientHello(bytes);
    if (result.state !== "more") break;
  }
  const hello = { serverName: "www.example.com", alpn: protocols };
  assert.deepEqual(result, { state: "hello", hello });
  // The alert reaches that client as what it is: this is how a name without a route is refused.
  socket.end(fatalAlert(UNRECOGNIZED_NAME));
  assert.match(String((await refused)[0]), /unrecogni[sz]ed.?name/i);
});
