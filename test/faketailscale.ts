/**
 * A tailscaled of its LocalAPI only, on a unix socket, which answers what a test has it answer: by
 * default as the real one does. It is no tailnet: the addresses are whatever the test says.
 */
import { rm } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { issue } from "./pki.ts";
import { type Scope, temporaryFolder } from "./support.ts";
import { readMessage, wire } from "./wire.ts";

/** The answer's bytes; undefined for none, ever. */
export type Reply = (target: string) => string | undefined;

export interface FakeTailscale {
  readonly path: string;
  /** The targets of the requests so far. */
  readonly asked: readonly string[];
  /** The same of one kind, such as `whois`. */
  askedFor(what: string): readonly string[];
  /** What the node is: a Status. */
  status: unknown;
  /** What is said of addresses: WhoIsResponses; others get 404. */
  readonly users: Map<string, unknown>;
  /** PEM, by name; others get 500. */
  readonly certificates: Map<string, string>;
  /** Instead of all of that. */
  reply: Reply | undefined;
  start(): Promise<void>;
  /** Closes the socket, cuts what is open, and removes the file. */
  stop(): Promise<void>;
}

/** A node that runs, with these addresses. */
export const running = (...addresses: string[]): unknown => ({
  Version: "1.80.0-t0000",
  TUN: true,
  BackendState: "Running",
  TailscaleIPs: addresses,
  Self: { DNSName: "node.tail1234.ts.net.", TailscaleIPs: addresses },
  CertDomains: ["node.tail1234.ts.net"],
});

/** What whois says of somebody's node. */
export const userNode = (
  LoginName: string,
  DisplayName: string = "",
  ProfilePicURL: string = "",
): unknown => ({
  Node: { ID: 1, Name: "laptop.tail1234.ts.net.", User: 7 },
  UserProfile: { ID: 7, LoginName, DisplayName, ProfilePicURL },
  CapMap: {},
});

/** A key and a certificate as tailscaled gives them. */
export function pairFor(name: string, options: Partial<Parameters<typeof issue>[0]> = {}): string {
  const ca = issue({ subject: "CA" });
  const { cert, key } = issue({ subject: name, names: [name], issuer: ca, ...options });
  return `${key.export({ type: "sec1", format: "pem" })}${cert}${ca.cert}`;
}

export function http(status: string, body: string, type: string = "application/json"): string {
  const length = new TextEncoder().encode(body).length;
  return `HTTP/1.1 ${status}\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

/** Started; ends with the test. */
export async function startFakeTailscale(t: Scope): Promise<FakeTailscale> {
  const path = join(await temporaryFolder(t), "tailscaled.sock");
  const asked: string[] = [];
  const sockets = new Set<net.Socket>();
  let server: net.Server | undefined;
  const serve = async (socket: net.Socket): Promise<void> => {
    const { head } = await readMessage(wire(socket));
    const [, target = ""] = /^GET (\S+) HTTP\/1.1\r\n/.exec(head) ?? [];
    asked.push(target);
    const isOurs = /\r\nHost: local-tailscaled\.sock\r\n/.test(head);
    const reply = !isOurs
      ? http("403 Forbidden", "invalid localapi request\n", "text/plain")
      : fake.reply === undefined
      ? usual(fake, target)
      : fake.reply(target);
    if (reply !== undefined) socket.end(reply);
  };
  const fake: FakeTailscale = {
    path,
    asked,
    askedFor: (what) => asked.filter((target) => target.startsWith(`/localapi/v0/${what}`)),
    status: running("127.0.0.2"),
    users: new Map(),
    certificates: new Map(),
    reply: undefined,
    start: () =>
      new Promise((resolve, reject) => {
        server = net.createServer({ allowHalfOpen: true }, (socket) => {
          sockets.add(socket);
          socket.on("close", () => sockets.delete(socket));
          serve(socket).catch(() => socket.destroy());
        });
        server.once("error", reject).listen(path, resolve);
      }),
    stop: async () => {
      await new Promise<void>((resolve) => {
        server?.close(() => resolve());
        if (server === undefined) resolve();
        for (const socket of sockets) socket.destroy();
      });
      server = undefined;
      await rm(path, { force: true });
    },
  };
  await fake.start();
  t.after(() => fake.stop());
  return fake;
}

function usual({ status, users, certificates }: FakeTailscale, target: string): string {
  const url = new URL(target, "http://fake");
  const what = url.pathname.replace("/localapi/v0/", "");
  if (what === "status") return http("200 OK", JSON.stringify(status));
  if (what === "whois") {
    const address = /^\[?(.*?)\]?:\d+$/.exec(url.searchParams.get("addr") ?? "")?.[1] ?? "";
    if (!users.has(address)) return http("404 Not Found", "no match for IP:port\n", "text/plain");
    return http("200 OK", JSON.stringify(users.get(address), null, "\t"));
  }
  const name = what.replace("cert/", "");
  const pair = certificates.get(name);
  const refusal = `invalid domain "${name}"; only "node.tail1234.ts.net" is permitted\n`;
  if (pair === undefined) return http("500 Internal Server Error", refusal, "text/plain");
  return http("200 OK", pair, "text/plain");
}
