import assert from "node:assert/strict";
import { test } from "node:test";
import { type Container, readContainer } from "../lib/container.ts";
import {
  type HostnameData,
  type Verdict,
  view as viewOf,
  type ViewOptions,
} from "../lib/hostnames.ts";
import { readLabels, splitList } from "../lib/labels.ts";
import { container } from "./containers.ts";
import * as vectors from "./vectors/hostnames.ts";

function replay<Input, Expect>(
  rows: readonly { name: string; why: string; input: Input; expect: Expect }[],
  check: (input: Input, expect: Expect, name: string) => void,
): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { name, why, input, expect } of rows) check(input, expect, `${name}: ${why}`);
}

const view = (containers: readonly Container[], options: Partial<ViewOptions> = {}) =>
  viewOf(containers, { proxyTag: "", users: [], ...options });
const labelled = (name: string, labels: Readonly<Record<string, string>>, ports = [80]) =>
  container(name, { labels, ports });
const hosted = (name: string, vhost: string, more: Readonly<Record<string, string>> = {}) =>
  labelled(name, { "com.chameth.vhost": vhost, ...more });

/** A host as plain values. */
const plain = (host: HostnameData | undefined) => ({
  names: [host?.Name, ...host?.Alternatives.keys() ?? []],
  containers: host?.Containers.map(({ Name }) => Name),
  headers: Object.fromEntries(host?.Headers ?? []),
});
const problemsOf = (verdicts: readonly Verdict[], name: string) =>
  verdicts.find((verdict) => verdict.name === name)?.problems;

/** Each problem has the text expected of it, and there is no other. */
function assertProblems(
  problems: readonly string[] | undefined,
  expect: readonly string[] | undefined,
  name: string,
): void {
  const [got = [], parts = []] = [problems, expect];
  assert.equal(got.length, parts.length, `${name}: ${JSON.stringify(got)}`);
  got.forEach((problem, i) => assert.ok(problem.includes(parts[i]!), `${name}: ${problem}`));
}

test("the runner fails on no rows and on a wrong row", () => {
  assert.throws(() => replay([], () => {}), /no rows/);
  const wrong = { name: "wrong", why: "a runner that can't fail tests nothing" };
  const check = (input: string, expect: string[], name: string) =>
    assert.deepEqual(splitList(input), expect, name);
  assert.throws(() => replay([{ ...wrong, input: "a", expect: ["b"] }], check), /can't fail/);
  assert.throws(() => assertProblems(["a"], [], "wrong"), /wrong/);
  assert.throws(() => assertProblems(["a"], ["b"], "wrong"), /wrong/);
});

test("lists are split by spaces and commas alone", () => {
  replay(vectors.lists, (input, expect, name) => assert.deepEqual(splitList(input), expect, name));
});

test("the port is the label's, or the only one that is exposed", () => {
  replay(vectors.ports, ({ label, exposed = [] }, expect, name) => {
    const labels: Record<string, string> = label === undefined
      ? {}
      : { "com.chameth.proxy": label };
    const one = container("web", { labels, ports: exposed });
    assert.equal([...view([one]).data.Containers.values()][0]!.Port(), expect, name);
    assertProblems(
      readLabels(one).problems,
      label !== undefined && expect === -1 ? ["expected a port, 1 to 65535"] : [],
      name,
    );
  });
});

test("header labels are split at the first space, and bad ones are left out", () => {
  replay(vectors.headers, (labels, { headers, left }, name) => {
    const one = labelled("web", labels);
    const got = readLabels(one);
    assert.deepEqual([...got.headers], headers, name);
    assertProblems(got.problems, left, name);
    assert.deepEqual([...[...view([one]).data.Containers.values()][0]!.Headers()], headers, name);
  });
});

test("host names are domain names, and bad ones are left out", () => {
  replay(vectors.names, (vhost, { names, left }, name) => {
    const got = readLabels(hosted("web", vhost));
    assert.deepEqual(got.names, names, name);
    assertProblems(got.problems, left, name);
  });
});

test("CertNames folds names into wildcards, at the place of the first", () => {
  replay(vectors.certNames, ({ vhost, wildcards }, expect, name) => {
    const [data] = view([hosted("web", vhost)]).data.Containers.values();
    assert.deepEqual(data!.CertNames(wildcards), expect, name);
  });
});

test("ShouldProxy wants the vhost label and a port", () => {
  replay(vectors.proxied, (labels, expect, name) => {
    const [data] = view([labelled("web", labels, [])]).data.Containers.values();
    assert.equal(data!.ShouldProxy(), expect, name);
  });
});

test("a container without a route has a reason", () => {
  replay(vectors.reasons, ({ called = "web", ...described }, expect, name) => {
    const { verdicts } = view([container(called, described)], { proxyTag: "wanted" });
    assert.equal(verdicts[0]!.reason, expect, name);
  });
});

test("a container with a route has hosts, a port and where that comes from", () => {
  const { verdicts } = view([
    hosted("a", "a.example b.example", { "com.chameth.proxy": "8080" }),
    hosted("b", "c.example"),
  ]);
  assert.deepEqual(verdicts.map(({ id: _, ...verdict }) => verdict), [
    {
      name: "a",
      ...{ hosts: ["a.example", "b.example"], port: 8080, portFrom: "label com.chameth.proxy" },
      ...{ reason: "", problems: [] },
    },
    {
      name: "b",
      ...{ hosts: ["c.example"], port: 80, portFrom: "the only port that it exposes" },
      ...{ reason: "", problems: [] },
    },
  ]);
});

test("fields are those of Go Dotege, and those that are new", () => {
  const network = { name: "proxy", addresses: ["10.0.0.2"], aliases: ["web"] };
  const { data } = view([container("web", {
    labels: {
      "com.chameth.vhost": "a.example",
      "com.docker.compose.project": "shop",
      "com.docker.compose.service": "front",
    },
    ports: [80],
    ...{ image: "nginx:1", created: "2026-01-01T00:00:00Z", health: "healthy", env: { A: "1" } },
    networks: [network],
  })], { users: [{ name: "alice", password: "x", groups: ["staff"] }] });
  const [web] = data.Containers.values();
  const { Id, Labels, Env, Port, ShouldProxy, Headers, CertNames, ...rest } = web!;
  assert.deepEqual(rest, {
    ...{ Name: "web", Ports: [80], Image: "nginx:1", State: "running", Health: "healthy" },
    ...{ Created: "2026-01-01T00:00:00Z", Project: "shop", Service: "front" },
    Networks: [{ Name: "proxy", Addresses: ["10.0.0.2"], Aliases: ["web"] }],
  });
  assert.deepEqual([...data.Containers.keys()], [Id]);
  assert.deepEqual([Labels.get("com.chameth.vhost"), Env.get("A")], ["a.example", "1"]);
  assert.deepEqual([Port(), ShouldProxy(), [...Headers()], CertNames([])], [80, true, [], [
    "a.example",
  ]]);
  assert.deepEqual(data.Users, [{ Name: "alice", Password: "x", Groups: ["staff"] }]);
  assert.deepEqual(data.Groups, ["staff"]);
  const host = data.Hostnames.get("a.example")!;
  assert.deepEqual([host.RequiresAuth, host.AuthGroup], [false, ""]);
  assert.equal(host.Containers[0], web);
});

test("hosts hold their containers by name, then id, whatever the order they come in", () => {
  const twins = [hosted("b", "a.example"), { ...hosted("b", "a.example"), id: "1".repeat(64) }];
  const all = [hosted("c", "a.example x.example"), ...twins, hosted("a", "a.example y.example")];
  const expected = { names: ["a.example", "y.example", "x.example"], containers: ["a", "b", "c"] };
  for (let turn = 0; turn < all.length; turn++) {
    const { data, verdicts } = view([...all.slice(turn), ...all.slice(0, turn)]);
    assert.deepEqual(plain(data.Hostnames.get("a.example")), { ...expected, headers: {} });
    assert.deepEqual(verdicts.map(({ name }) => name), ["a", "b", "b", "c"]);
    assert.deepEqual(verdicts.map(({ reason }) => reason), [
      ...["", "", "another container has the same name", ""],
    ]);
    assert.ok(verdicts[1]!.id < verdicts[2]!.id);
  }
});

test("only containers with the proxy tag are seen, also those that aren't served", () => {
  const tagged = { "com.chameth.proxytag": "x" };
  const all = [hosted("a", "a.example", tagged), hosted("b", "b.example"), labelled("c", tagged)];
  const names = (proxyTag: string) => {
    const { data } = view(all, { proxyTag });
    return [[...data.Containers.values()].map(({ Name }) => Name), [...data.Hostnames.keys()]];
  };
  assert.deepEqual(names("x"), [["a", "c"], ["a.example"]]);
  assert.deepEqual(names(""), [["b"], ["b.example"]]);
});

test("a host without a reachable container is there, as in Go Dotege", () => {
  const { data } = view([labelled("a", { "com.chameth.vhost": "a.example" }, [])]);
  assert.deepEqual(plain(data.Hostnames.get("a.example")).containers, ["a"]);
});

test("a name belongs to one host: a primary one to its own, others to the first", () => {
  const { data, verdicts } = view([
    hosted("a", "a.example shared.example b.example"),
    hosted("b", "b.example shared.example"),
    hosted("c", "A.EXAMPLE Shared.example c.example"),
  ]);
  assert.deepEqual([...data.Hostnames.keys()], ["a.example", "b.example"]);
  assert.deepEqual(plain(data.Hostnames.get("a.example")), {
    names: ["a.example", "shared.example", "c.example"],
    containers: ["a", "c"],
    headers: {},
  });
  assertProblems(problemsOf(verdicts, "a"), ['name b.example is container "b"\'s already'], "a");
  assertProblems(problemsOf(verdicts, "b"), ['shared.example is container "a"\'s already'], "b");
  assertProblems(problemsOf(verdicts, "c"), [], "c");
});

test("of a host's containers together no more names are taken than fit", () => {
  const list = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `n${from + i}.example`).join(" ");
  const { data, verdicts } = view([
    hosted("a", `a.example ${list(0, 200)}`),
    hosted("b", `a.example ${list(150, 350)}`),
  ]);
  assert.equal(data.Hostnames.get("a.example")!.Alternatives.size, 249);
  const problems = problemsOf(verdicts, "b")!;
  assert.match(problems[0]!, /n249\.example is one too many: a host has at most 250/);
  assert.match(problems.at(-1)!, /and 81 more/);
});

test("of two containers with other headers the first has its way, and the other a problem", () => {
  const { data, verdicts } = view([
    hosted("a", "a.example", { "com.chameth.headers": "X: 1" }),
    hosted("b", "a.example", { "com.chameth.headers": "x: 2", "com.chameth.headers.y": "Y: 3" }),
    hosted("c", "a.example", { "com.chameth.headers": "X: 1" }),
  ]);
  assert.deepEqual(plain(data.Hostnames.get("a.example")).headers, { X: "1", Y: "3" });
  assertProblems(problemsOf(verdicts, "b"), ['header x is set otherwise by container "a"'], "b");
  assertProblems(problemsOf(verdicts, "c"), [], "c");
});

test("one container that asks for a login is enough, and the first one's groups count", () => {
  const users = [{ name: "alice", password: "x", groups: ["staff", "other"] }];
  const { data, verdicts } = view([
    hosted("a", "a.example"),
    hosted("b", "a.example", { "com.chameth.auth": "staff,other staff" }),
    hosted("c", "a.example", { "com.chameth.auth": "" }),
    hosted("d", "d.example", { "com.chameth.auth": "nobody" }),
    hosted("e", "e.example", { "com.chameth.auth": "" }),
    hosted("f", "e.example", { "com.chameth.auth": "bad;group" }),
  ], { users });
  const auth = [...data.Hostnames.values()].map((host) => [host.RequiresAuth, host.AuthGroup]);
  assert.deepEqual(auth, [[true, "staff other"], [true, "nobody"], [true, ""]]);
  assert.deepEqual(data.Groups, ["nobody", "other", "staff"]);
  assertProblems(problemsOf(verdicts, "c"), ['is other than that of container "b"'], "c");
  assertProblems(problemsOf(verdicts, "d"), ["nobody can log in: DOTEGE_USERS has no user"], "d");
  assertProblems(problemsOf(verdicts, "f"), ['auth "bad;group": expected a group\'s name'], "f");
  assert.deepEqual(plain(data.Hostnames.get("e.example")).containers, ["e"]);
});

test("a host isn't open because its label for a login was dropped", () => {
  const junk = (count: number, value: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`x${i}`, value]));
  const reasons = (labels: Readonly<Record<string, string>>) => {
    const one = readContainer({
      ...{ Id: "0".repeat(64), Name: "/web", State: { Status: "running" } },
      Config: { ExposedPorts: { "80/tcp": {} }, Labels: labels },
    });
    return view([one]).verdicts.map(({ reason }) => reason);
  };
  const vhost = { "com.chameth.vhost": "a.example" };
  const refused = [/its label com\.chameth\.auth can't be used/];
  const rows: [Readonly<Record<string, string>>, RegExp[]][] = [
    [{ ...vhost, "com.chameth.auth": "staff\n" }, refused],
    [{ ...vhost, ...junk(30, "\n"), "com.chameth.auth": "staff\n" }, refused],
    [{ ...vhost, ...junk(5_000, ""), "com.chameth.auth": "staff" }, refused],
    [{ ...vhost, ...junk(5, "\n") }, [/^$/]],
  ];
  for (const [labels, expect] of rows) {
    reasons(labels).forEach((reason, i) => assert.match(reason, expect[i]!));
  }
});

test("names of members that every object has are names like others", () => {
  const { data } = view([hosted("constructor", "__proto__ constructor", {
    "com.chameth.headers": "__proto__: 1",
  })]);
  const host = data.Hostnames.get("__proto__");
  assert.deepEqual(plain(host).names, ["__proto__", "constructor"]);
  assert.equal(host!.Headers.get("__proto__"), "1");
});

test("long labels take time in proportion to their length, and few problems", () => {
  const megabyte = 1024 * 1024;
  const labels = {
    "com.chameth.vhost": "!, ".repeat(megabyte / 3),
    "com.chameth.proxy": "9".repeat(megabyte),
    "com.chameth.headers": `${":".repeat(megabyte)}x y`,
    "com.chameth.headers2": `${" ".repeat(megabyte)}x y`,
    "com.chameth.auth": "a,;".repeat(megabyte / 3),
    "com.chameth.proxytag": "x".repeat(megabyte),
  };
  const { verdicts } = view([labelled("web", labels)], {
    proxyTag: labels["com.chameth.proxytag"],
  });
  assert.equal(verdicts[0]!.problems.length, 21);
  for (const problem of verdicts[0]!.problems) assert.ok(problem.length < 200, problem);
});
