import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { test } from "node:test";
import { encodeConfig } from "../lib/confignetwork.ts";
import { type ConfigPush, type ConfigPushOptions, createConfigPush } from "../lib/configpush.ts";
import { type Recorder, recordLog, until } from "./recorder.ts";
import type { Scope } from "./support.ts";

/** The other side: messages out of bytes, however these come. Throws for any that isn't one. */
function createReader(onMessage: (text: string) => void): (chunk: Uint8Array) => void {
  let chunks: Uint8Array[] = [];
  let [have, need] = [0, 16];
  return (chunk) => {
    chunks.push(chunk);
    have += chunk.length;
    while (have >= need) {
      const bytes = Buffer.concat(chunks);
      assert.equal(bytes.toString("latin1", 0, 12), "CENTAURI\0\0\0\x01");
      need = 16 + bytes.readUInt32BE(12);
      chunks = [bytes];
      if (have < need) return;
      onMessage(bytes.toString("utf8", 16, need));
      chunks = [bytes.subarray(need)];
      [have, need] = [have - need, 16];
    }
  };
}

interface Setup extends Recorder {
  readonly push: ConfigPush;
  readonly port: number;
  connect(): Peer;
}

interface Peer {
  readonly socket: net.Socket;
  readonly messages: string[];
  /** Resolves when the last message is this one. */
  got(text: string): Promise<void>;
  closed(): Promise<void>;
}

async function setUp(t: Scope, options: Partial<ConfigPushOptions> = {}): Promise<Setup> {
  const recorder = recordLog();
  const push = createConfigPush({ host: "127.0.0.1", port: 0, log: recorder.log, ...options });
  t.after(() => push.close());
  const port = await push.listen();
  const connect = (): Peer => {
    const messages: string[] = [];
    const socket = net.connect(port, "127.0.0.1");
    socket.on("data", createReader((text) => messages.push(text))).on("error", () => {});
    t.after(() => socket.destroy());
    const last = () => `last: ${messages.at(-1)?.slice(0, 100)}`;
    const got = (text: string): Promise<void> => until(() => messages.at(-1) === text, last);
    const closed = (): Promise<void> => until(() => socket.closed);
    return { socket, messages, got, closed };
  };
  return { ...recorder, push, port, connect };
}

test("encodeConfig() writes the bytes that Go's Centauri reads", () => {
  assert.equal(
    encodeConfig("route é\n").toString("latin1"),
    "CENTAURI\0\0\0\x01\0\0\0\x09route Ã©\n",
  );
  assert.equal(encodeConfig("").toString("latin1"), "CENTAURI\0\0\0\x01\0\0\0\0");
  assert.equal(encodeConfig("x".repeat(0x10203)).toString("hex", 12, 16), "00010203");
});

test("the test's reader finds messages at every split, and refuses what is none", () => {
  const bytes = Buffer.concat(["one\n", "", "zwei é\n"].map(encodeConfig));
  for (let size = 1; size <= bytes.length; size++) {
    const messages: string[] = [];
    const read = createReader((text) => messages.push(text));
    for (let i = 0; i < bytes.length; i += size) read(bytes.subarray(i, i + size));
    assert.deepEqual(messages, ["one\n", "", "zwei é\n"]);
  }
  const read = createReader(() => {});
  assert.throws(() => read(Buffer.from("CENTAURI\0\0\0\x02\0\0\0\0")));
});

test("a Centauri gets the latest routes at once, and each change", async (t) => {
  const { push, connect, waitFor } = await setUp(t);
  const early = connect();
  await waitFor(/^info Centauri connected 127\.0\.0\.1$/);
  assert.deepEqual(early.messages, []); // there are none yet
  push.update("one\n");
  await early.got("one\n");
  push.update("one\n"); // nothing new
  push.update("two\n");
  await early.got("two\n");
  const late = connect();
  await late.got("two\n");
  push.update("");
  await Promise.all([early.got(""), late.got("")]);
  assert.deepEqual(early.messages, ["one\n", "two\n", ""]);
  assert.deepEqual(late.messages, ["two\n", ""]);
});

test("a slow Centauri gets the message that has begun and then the latest, no other", async (t) => {
  const { push, connect, waitFor } = await setUp(t);
  const [slow, quick] = [connect(), connect()];
  await until(() => !slow.socket.connecting);
  slow.socket.pause();
  await waitFor(/Centauri connected/);
  const versions = ["a", "b", "c", "d"].map((letter) => letter.repeat(15 * 1024 * 1024));
  for (const version of versions) {
    push.update(version);
    await quick.got(version);
  }
  slow.socket.resume();
  await slow.got(versions[3]!);
  assert.deepEqual(slow.messages.map((text) => text[0]), ["a", "d"]);
  assert.deepEqual(quick.messages.map((text) => text[0]), ["a", "b", "c", "d"]);
});

test("a Centauri that takes nothing is dropped, others aren't", async (t) => {
  const { push, connect, waitFor } = await setUp(t, { stall: 2_000 });
  const [stalled, good] = [connect(), connect()];
  await until(() => !stalled.socket.connecting);
  stalled.socket.pause();
  const text = "x".repeat(16 * 1024 * 1024);
  push.update(text);
  await good.got(text);
  assert.match(await waitFor(/dropped/), /^warn Centauri dropped 127\.0\.0\.1 it takes no more$/);
  push.update("after");
  await good.got("after");
});

test("who sends a lot is dropped, who sends a little is served", async (t) => {
  const { push, connect, waitFor } = await setUp(t);
  const [chatty, flood] = [connect(), connect()];
  chatty.socket.write("hello");
  push.update("routes");
  await chatty.got("routes");
  flood.socket.write("x".repeat(5_000));
  await flood.closed();
  assert.match(await waitFor(/dropped/), /it sends data$/);
  push.update("more");
  await chatty.got("more");
});

test("more clients than allowed are closed, until others leave", async (t) => {
  const { push, connect, waitFor } = await setUp(t, { maxClients: 2 });
  const [a, b] = [connect(), connect()];
  push.update("routes");
  await Promise.all([a.got("routes"), b.got("routes")]);
  for (const one of [connect(), connect()]) await one.closed();
  assert.match(await waitFor(/too many/), / 2$/);
  a.socket.end();
  await waitFor(/^debug Centauri left/);
  await connect().got("routes");
  assert.deepEqual(b.messages, ["routes"]);
});

test("too many routes are refused, and the old ones stay", async (t) => {
  const { push, connect, lines } = await setUp(t);
  push.update("old");
  push.update("x".repeat(16 * 1024 * 1024 + 1));
  await connect().got("old");
  assert.match(lines.join("\n"), /^error routes not pushed: the old ones stay more than 16777216/m);
});

test("listen() rejects when the port is taken", async (t) => {
  const { port, log } = await setUp(t);
  const second = createConfigPush({ host: "127.0.0.1", port, log });
  await assert.rejects(second.listen(), new RegExp(`can't listen on 127.0.0.1:${port}`));
  await second.close();
});

test("close() cuts all connections", async (t) => {
  const { push, connect, waitFor, port } = await setUp(t);
  const peer = connect();
  await waitFor(/connected/);
  await push.close();
  await peer.closed();
  push.update("too late");
  await assert.rejects(
    new Promise((resolve, reject) => {
      net.connect(port, "127.0.0.1").on("connect", resolve).on("error", reject);
    }),
  );
});
