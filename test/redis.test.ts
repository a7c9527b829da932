import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net, { type Socket } from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import { createLogger } from "../lib/log.ts";
import { redisAddress, RedisError, type RedisOptions } from "../lib/redis.ts";
import { ErrorReply, type Reply, RespReader } from "../lib/resp.ts";
import { type Identity, issue } from "./pki.ts";
import { openRedis } from "./redispeer.ts";
import { type Scope, startRawUpstream } from "./support.ts";

const LIMITS = { line: 1 << 16, bulk: 1 << 20, reply: 1 << 24, items: 1000, depth: 4 };

/** The words of a command that a client sent, one string. */
type Answer = (command: string, socket: Socket) => string | undefined;

/** A server that answers by hand; what it was asked is in `commands`. */
async function startFake(
  t: Scope,
  answer: Answer,
): Promise<{ port: number; commands: string[]; sockets: Socket[]; close: () => Promise<void> }> {
  const commands: string[] = [];
  const sockets: Socket[] = [];
  const { port, close } = await startRawUpstream(t, (socket) => {
    sockets.push(socket);
    hear(socket, commands, answer);
  });
  return { port, commands, sockets, close };
}

function hear(socket: Socket, commands: string[], answer: Answer): void {
  const reader = new RespReader(LIMITS);
  socket.on("error", () => {}).on("end", () => socket.destroy());
  socket.on("data", (bytes: Buffer) => {
    for (const words of reader.push(bytes)) {
      const command = (words as readonly Reply[]).map(String).join(" ");
      commands.push(command);
      const text = answer(command, socket) ?? (command === "PING" ? "+PONG\r\n" : undefined);
      if (text !== undefined) socket.write(text, "latin1");
    }
  });
}

/** Log lines, and a promise for the first with a text. */
function logged(): {
  log: RedisOptions["log"];
  lines: string[];
  line: (text: string) => Promise<string>;
} {
  const lines: string[] = [];
  let look = (): void => {};
  const write = (line: string): void => {
    lines.push(line);
    look();
  };
  const line = (text: string): Promise<string> =>
    new Promise((resolve) => {
      look = () => {
        const found = lines.find((one) => one.includes(text));
        if (found !== undefined) resolve(found);
      };
      look();
    });
  return { log: createLogger({ level: "debug", format: "text", write }), lines, line };
}

test("redisAddress() takes a host, a port if there is one, and an IPv6 address in brackets", () => {
  const rows: readonly [text: string, expect: ReturnType<typeof redisAddress>][] = [
    ["localhost:6379", { host: "localhost", port: 6379 }],
    ["127.0.0.1:6380", { host: "127.0.0.1", port: 6380 }],
    ["[::1]:6379", { host: "::1", port: 6379 }],
    ["[::1]", { host: "::1", port: 6379 }],
    ["localhost", { host: "localhost", port: 6379 }],
    ["::1:6379", undefined],
    ["localhost:0", undefined],
    ["localhost:redis", undefined],
    ["", undefined],
  ];
  for (const [text, expect] of rows) assert.deepEqual(redisAddress(text), expect, text);
});

test("a connection says who it is and which database it is for, then it is used", async (t) => {
  for (
    const [options, expect] of [
      [{}, ["PING"]],
      [{ password: "p w" }, ["AUTH p w", "PING"]],
      [{ username: "u", password: "p" }, ["AUTH u p", "PING"]],
      [{ username: "u", password: "p", db: 7 }, ["AUTH u p", "SELECT 7", "PING"]],
    ] as const
  ) {
    const fake = await startFake(t, (command) => command === "PING" ? undefined : "+OK\r\n");
    await openRedis(t, fake.port, options);
    assert.deepEqual(fake.commands, expect);
  }
});

test("a user that may not PING has been answered all the same", async (t) => {
  const fake = await startFake(t, () => "-NOPERM no\r\n");
  await openRedis(t, fake.port);
  const loading = await startFake(t, () => "-LOADING the dataset\r\n");
  await assert.rejects(openRedis(t, loading.port), /unable to reach redis at 127/);
});

test("what is refused at first is said, and a password never", async (t) => {
  const secret = "correct-horse";
  for (
    const said of [
      "-WRONGPASS invalid username-password pair or user is disabled.",
      `-ERR unknown command 'AUTH', with args beginning with: 'u' '${secret}' `,
      `-ERR ${secret}`,
    ]
  ) {
    const fake = await startFake(t, (command) => command.startsWith("AUTH") ? `${said}\r\n` : "");
    const { log, lines } = logged();
    const opening = openRedis(t, fake.port, { username: "u", password: secret, log });
    const error = await opening.then(() => assert.fail("it is let in"), (error: Error) => error);
    log.error("x", { error });
    assert.match(lines.join(""), /unable to reach redis at 127.0.0.1:\d+: AUTH: (ERR|WRONGPASS)/);
    assert.ok(!lines.join("").includes(secret), lines.join(""));
  }
});

test("errors name the command and not its arguments", async (t) => {
  const said = "-ERR unknown command `HSET`, with args beginning with: `hash` `KEY`\r\n";
  const fake = await startFake(t, (command) => command.startsWith("HSET") ? said : undefined);
  const redis = await openRedis(t, fake.port);
  const error = await redis.run(["HSET", "hash", "KEY"]).catch((error: Error) => error);
  assert.ok(error instanceof RedisError && error.cause instanceof ErrorReply);
  assert.equal(error.message, "HSET: ERR unknown command `HSET`");
  assert.equal(error.cause.code, "ERR");
  assert.ok(!error.cause.message.includes("KEY"));
});

test("commands are sent at once and answered in their order, however late", async (t) => {
  let held = "";
  const fake = await startFake(t, (command, socket) => {
    if (command === "PING") return undefined;
    held += `$${command.length}\r\n${command}\r\n`;
    if (command === "GET 19") socket.write(held);
    return "";
  });
  const redis = await openRedis(t, fake.port);
  const all = Array.from({ length: 20 }, (_, i) => redis.run(["GET", `${i}`]));
  assert.deepEqual((await Promise.all(all)).map(String), all.map((_, i) => `GET ${i}`));
});

test("whoever doesn't wait any more is told, and the others get their own answers", async (t) => {
  let answer = (): void => {};
  const fake = await startFake(t, (command, socket) => {
    if (command === "GET b") answer = () => void socket.write("+a\r\n+b\r\n");
    return undefined;
  });
  const redis = await openRedis(t, fake.port);
  const ended = new AbortController();
  const first = redis.run(["GET", "a"], ended.signal);
  const second = redis.run(["GET", "b"]);
  ended.abort(new Error("enough"));
  await assert.rejects(first, /GET: aborted/);
  await assert.rejects(redis.run(["GET", "c"], ended.signal), /GET: aborted/);
  while (fake.commands.at(-1) !== "GET b") await new Promise((done) => setTimeout(done, 5));
  answer();
  assert.equal(await second, "b");
});

test("a server that doesn't answer is left in time, and what waits is rejected", async (t) => {
  const fake = await startFake(t, () => undefined);
  const { log, line } = logged();
  const redis = await openRedis(t, fake.port, { timeout: 100, log });
  const start = performance.now();
  const results = await Promise.allSettled([redis.run(["GET", "a"]), redis.run(["GET", "b"])]);
  assert.ok(performance.now() - start < 2_000);
  for (const result of results) {
    assert.ok(result.status === "rejected" && result.reason instanceof RedisError);
  }
  assert.equal(redis.connected, false);
  await assert.rejects(redis.run(["GET", "c"]), /GET: not connected to redis/);
  await line("redis found again");
});

test("one that never answers, or that nobody can connect to, fails the start in time", async (t) => {
  const { port } = await startRawUpstream(t, () => {});
  const start = performance.now();
  await assert.rejects(openRedis(t, port, { timeout: 100 }), /unable to reach redis at 127/);
  assert.ok(performance.now() - start < 2_000);
  const gone = await startRawUpstream(t, () => {});
  await gone.close();
  const error = await openRedis(t, gone.port).catch((error: Error) => error);
  assert.match(`${error}`, /unable to reach redis/);
});

for (
  const [why, bytes] of [
    ["breaks the protocol", "HTTP/1.1 200 OK\r\n\r\n"],
    ["answers what nobody asked", "+a\r\n+b\r\n"],
    ["announces too much", "*1000000000\r\n"],
  ] as const
) {
  test(`a server that ${why} is left, and found again`, async (t) => {
    const fake = await startFake(t, (command) => command === "GET x" ? bytes : undefined);
    const { log, lines, line } = logged();
    const redis = await openRedis(t, fake.port, { log });
    await redis.run(["GET", "x"]).catch((error) => assert.ok(error instanceof RedisError));
    await line("redis lost");
    await line("redis found again");
    assert.equal(redis.connected, true);
    assert.equal(lines.length, 2, lines.join(""));
  });
}

test("an outage is said once, tried again for as long as it lasts, and its end is said", async (t) => {
  const fake = await startFake(t, () => undefined);
  const { log, lines, line } = logged();
  const redis = await openRedis(t, fake.port, { log });
  let again = 0;
  redis.onReconnect(() => again++);
  let attempts = 0;
  await fake.close();
  await line("redis lost");
  const server = net.createServer((socket) => {
    if (++attempts < 4) return void socket.destroy();
    hear(socket, [], () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(fake.port, "127.0.0.1", resolve));
  t.after(() => server.close());
  await line("redis found again");
  assert.equal(attempts, 4);
  assert.equal(again, 1);
  assert.equal(lines.length, 2, lines.join(""));
  redis.close();
  await assert.rejects(redis.run(["PING"]));
  assert.equal(lines.length, 2, "an end that was asked for is no outage");
});

test("TLS verifies the server by the name or the address that it was found by", async (t) => {
  const ca = issue({ subject: "ca" });
  const ofName = issue({ subject: "x", names: ["localhost"], issuer: ca });
  const ofAddress = issue({ subject: "x", names: ["127.0.0.1"], issuer: ca });
  const rows: readonly [host: string, identity: Identity, ca: string, error?: RegExp][] = [
    ["localhost", ofName, ca.cert],
    ["127.0.0.1", ofAddress, ca.cert],
    ["localhost", ofAddress, ca.cert, /unable to reach redis/],
    ["127.0.0.1", ofName, ca.cert, /unable to reach redis/],
    ["localhost", ofName, issue({ subject: "other" }).cert, /unable to reach redis/],
  ];
  for (const [host, identity, root, error] of rows) {
    const names: unknown[] = [];
    const server = tls.createServer({ key: identity.keyPem, cert: identity.cert }, (socket) => {
      names.push(socket.servername);
      hear(socket, [], () => undefined);
    });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as net.AddressInfo;
    const opening = openRedis(t, port, { host, tls: { ca: [root] } });
    if (error !== undefined) await assert.rejects(opening, error, `${host}`);
    else {
      (await opening).close();
      assert.deepEqual(names.map((name) => name || ""), [host === "localhost" ? host : ""]);
    }
  }
});
