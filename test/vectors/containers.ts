/** What inspect says, as changes of what Docker 20.10 said, and what is made of it. */
import type { Container } from "../../lib/container.ts";

export interface ContainerVector {
  readonly name: string;
  readonly why: string;
  /** Members to replace, by path: `Config.Labels`; undefined removes one. */
  readonly input: Readonly<Record<string, unknown>>;
  /** Members of the container, or a part of the error. */
  readonly expect: Partial<Container> | { readonly error: string };
}

const row = (
  input: ContainerVector["input"],
  expect: ContainerVector["expect"],
  why: string,
): ContainerVector => ({ name: JSON.stringify(input).slice(0, 100), why, input, expect });

const labels = (given: Record<string, unknown>, kept: Record<string, string>, problem: string) =>
  row(
    { "Config.Labels": given },
    { labels: new Map(Object.entries(kept)), problems: problem === "" ? [] : [problem] },
    problem || "a label like others",
  );

const network = (given: Record<string, unknown>) => ({ "NetworkSettings.Networks": given });
const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`l${i}`, "x"]));

/** A key that literals can't have: it would set the prototype. */
const PROTO = JSON.parse('{"__proto__":"x","constructor":"y"}');

export const containers: readonly ContainerVector[] = [
  row({}, {
    id: "a0cc97aa6cfd8361d34cac8e441e5cf900f3319d697199a386ca07bbcf464c62",
    name: "aa",
    labels: new Map([["com.chameth.vhost", "a.example"]]),
    image: "box:1",
    created: "2026-11-28T03:42:48.2632549Z",
    env: new Map([["PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]]),
    state: "running",
    health: "starting",
    networks: [{ name: "net1", addresses: ["172.17.0.2"], aliases: ["a0cc97aa6cfd"] }],
    ports: [8080],
    problems: [],
  }, "as it was recorded"),
  row({ Name: "web" }, { name: "web" }, "no slash"),
  row({ Name: "/a.b_c-1" }, { name: "a.b_c-1" }, "all that a name may have"),
  row({ Name: "/" }, { error: 'invalid name ""' }, "no name"),
  row({ Name: "" }, { error: 'invalid name ""' }, "no name"),
  row({ Name: undefined }, { error: 'invalid name ""' }, "no name"),
  row({ Name: 7 }, { error: 'invalid name ""' }, "a number"),
  row({ Name: "/a\nb" }, { error: 'invalid name "a\\nb"' }, "a line of its own in any file"),
  row({ Name: "/a b" }, { error: 'invalid name "a b"' }, "another word in any file"),
  row({ Name: "/a/b" }, { error: 'invalid name "a/b"' }, "an alias of a link"),
  row({ Name: `/${"a".repeat(256)}` }, { error: "invalid name" }, "longer than any file name"),
  row({ Id: "A0".repeat(32) }, { error: "no id" }, "upper case"),
  row({ Id: "a0" }, { error: "no id" }, "short"),
  row({ Id: "../".repeat(22).slice(0, 64) }, { error: "no id" }, "a path"),
  row({ Id: undefined }, { error: "no id" }, "none"),
  row({ State: undefined }, { error: "no state" }, "none"),
  row({ State: "running" }, { error: "no state" }, "no object"),
  row({ State: { Status: "exited" } }, { state: "exited", health: "" }, "no health check"),
  row({ "State.Health.Status": "none" }, { health: "" }, "Docker's word for no health check"),
  row({ "State.Health.Status": "" }, { health: "" }, "Podman's"),
  row({ "State.Health.Status": "a\nb" }, { health: "" }, "no such health"),
  row({ "State.Health.Status": "unhealthy" }, { health: "unhealthy" }, "not well"),
  row({ Created: "yesterday" }, { created: "" }, "no time"),
  row({ Created: "2026-11-28T03:56:21+01:00" }, { created: "2026-11-28T03:56:21+01:00" }, "zone"),
  row({ Created: "2026-11-28T03:56:21Z\n" }, { created: "" }, "a line end"),
  row({ "Config.Image": "a\nb" }, {
    image: "",
    problems: ["image has control characters: dropped"],
  }, "a line end"),
  labels({ a: "", "": "b" }, { a: "", "": "b" }, ""),
  labels({ a: "b c,d=ü\u00a0€😀" }, { a: "b c,d=ü\u00a0€😀" }, ""),
  labels(PROTO, PROTO, ""),
  labels({ a: "x\ny", b: "c" }, { b: "c" }, 'label "a" has control characters: dropped'),
  labels({ "a\nb": "c" }, {}, 'label "a\\nb" has control characters: dropped'),
  ...["\0", "\t", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029"].map(
    (char) => labels({ a: `x${char}y` }, {}, 'label "a" has control characters: dropped'),
  ),
  labels({ a: "x\ud800y" }, {}, 'label "a" has control characters: dropped'),
  labels({ a: "\udc00" }, {}, 'label "a" has control characters: dropped'),
  labels({ a: 7 }, {}, 'label "a" is no text: dropped'),
  labels({ a: null }, {}, 'label "a" is no text: dropped'),
  labels({ a: "x".repeat(131_072) }, { a: "x".repeat(131_072) }, ""),
  labels({ a: "x".repeat(131_073) }, {}, 'label "a" is over 131072 characters long: dropped'),
  labels(
    { ["k".repeat(1_025)]: "x" },
    {},
    `label "${"k".repeat(100)}…" is over 1024 characters long: dropped`,
  ),
  labels(many(4_096), many(4_096), ""),
  labels(many(5_000), many(4_096), "all labels after the first 4096 of 5000: dropped"),
  row({ "Config.Labels": null }, { labels: new Map() }, "none"),
  row({ "Config.Labels": ["a"] }, { labels: new Map() }, "a list"),
  row({ "Config.Labels": Object.fromEntries(Object.keys(many(22)).map((key) => [key, "\n"])) }, {
    problems: [
      ...Object.keys(many(20)).map((key) => `label "${key}" has control characters: dropped`),
      "2 more were dropped",
    ],
  }, "so many problems are told, and how many more there are"),
  row({ "Config.Env": ["A=b=c", "B=", "C", "=D", "A=e"] }, {
    env: new Map([["A", "e"], ["B", ""], ["C", ""], ["", "D"]]),
    problems: [],
  }, "the first = splits, the last value counts"),
  row({ "Config.Env": ["KEY=-----BEGIN\nsecret", "B\n=x", "__proto__=z", 7] }, {
    env: new Map([["__proto__", "z"]]),
    problems: [
      'variable "KEY" has control characters: dropped',
      'variable "B\\n" has control characters: dropped',
    ],
  }, "a key of several lines, whose value isn't told"),
  row({ "Config.Env": null }, { env: new Map() }, "none"),
  row(
    network({
      zoo: { IPAddress: "10.0.0.2", GlobalIPv6Address: "FD00:0:0::2", Aliases: ["b", "a", "b"] },
      abc: { IPAddress: "", GlobalIPv6Address: "", Aliases: null },
    }),
    {
      networks: [
        { name: "abc", addresses: [], aliases: [] },
        { name: "zoo", addresses: ["10.0.0.2", "fd00::2"], aliases: ["b", "a"] },
      ],
    },
    "sorted; IPv6 in its one spelling; each alias once",
  ),
  row(network({ a: { IPAddress: "10.0.0.2\nb", Aliases: ["x\ny", "z"] }, "b\n": {}, c: null }), {
    networks: [
      { name: "a", addresses: [], aliases: ["z"] },
      { name: "c", addresses: [], aliases: [] },
    ],
    problems: [
      'alias in network "a" has control characters: dropped',
      'network "b\\n" has control characters: dropped',
    ],
  }, "nothing of several lines"),
  row({ NetworkSettings: null }, { networks: [], ports: [8080] }, "no networks at all"),
  row({ "Config.ExposedPorts": null, "NetworkSettings.Ports": {} }, { ports: [] }, "nothing"),
  row(
    {
      "Config.ExposedPorts": {
        "90/tcp": {},
        "9/tcp": {},
        "80/tcp": {},
        "53/udp": {},
        "9/sctp": {},
      },
      "NetworkSettings.Ports": {},
      "HostConfig.PortBindings": {},
    },
    { ports: [9, 80, 90], problems: [] },
    "TCP alone, in ascending order",
  ),
  row(
    {
      "Config.ExposedPorts": { "80/tcp": {}, "81/tcp": {}, "82/tcp": {} },
      "NetworkSettings.Ports": { "80/tcp": [{ HostIp: "", HostPort: "1" }], "83/tcp": null },
      "HostConfig.PortBindings": { "81/tcp": [{ HostPort: "" }], "82/tcp": [] },
    },
    { ports: [82, 83] },
    "published: by what is bound, or what is to be; an empty list is neither",
  ),
  row(
    {
      "Config.ExposedPorts": { "80": {}, "80/tcp": {} },
      "NetworkSettings.Ports": { "80/tcp": [{ HostPort: "1" }] },
      "HostConfig.PortBindings": {},
    },
    { ports: [] },
    "the same port in two spellings",
  ),
  ...[
    "0/tcp",
    "65536/tcp",
    "0x50/tcp",
    "1e3/tcp",
    "-1/tcp",
    "80-90/tcp",
    " 80/tcp",
    "/tcp",
    "",
    "a",
  ]
    .map((key) =>
      row({
        "Config.ExposedPorts": { [key]: {}, "65535/tcp": {}, "1/tcp": {} },
        "NetworkSettings.Ports": {},
        "HostConfig.PortBindings": {},
      }, {
        ports: [1, 65535],
        problems: [
          `port${key && ` ${JSON.stringify(key)}`} is no number from 1 to 65535: dropped`,
        ],
      }, "no port")
    ),
];
