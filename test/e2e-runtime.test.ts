import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { readInto } from "../lib/runtime.ts";
import { thisRuntime } from "./support.ts";

test("a socket gives all it reads, paused and resumed, and Node in the one buffer", async (t) => {
  const { client, accepted } = await connect(t);
  const buffer = Buffer.alloc(16);
  const got: Buffer[] = [];
  const elsewhere: unknown[] = [];
  readInto(accepted, buffer, (chunk) => {
    got.push(Buffer.from(chunk));
    if (chunk.buffer !== buffer.buffer) elsewhere.push(chunk);
    accepted.pause();
    setImmediate(() => accepted.resume());
  });
  const sent = Buffer.from(Array.from({ length: 100 }, (_, i) => i));
  client.end(sent);
  await once(accepted, "end");
  assert.deepEqual(Buffer.concat(got), sent);
  if (thisRuntime.kind === "node") assert.deepEqual(elsewhere, []);
});

async function connect(t: TestContext): Promise<Record<"client" | "accepted", net.Socket>> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = net.connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [accepted] = await once(server, "connection") as [net.Socket];
  t.after(() => {
    for (const socket of [client, accepted]) socket.destroy();
    server.close();
  });
  return { client, accepted };
}
