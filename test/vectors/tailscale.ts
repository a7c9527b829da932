/** What tailscaled says, and what is made of it; facts of its LocalAPI, versions 1.8 to 1.90. */

export interface Row<Expected> {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  /** A RegExp: of the error's message. */
  readonly expect: Expected | RegExp;
}

interface Status {
  readonly state: string;
  readonly hasInterface: boolean;
  readonly addresses: readonly string[];
}

const self = (addresses: string): string =>
  `{"BackendState":"Running","TUN":true,"Self":{"TailscaleIPs":${addresses}}}`;
const RUNNING = { state: "Running", hasInterface: true };

export const statuses: readonly Row<Status>[] = [
  {
    name: "a node that runs",
    why: "one address of each family; members that aren't known are left alone",
    input: `{
      "Version": "1.80.0", "TUN": true, "BackendState": "Running", "AuthURL": "", "Health": null,
      "TailscaleIPs": ["100.101.102.103", "fd7a:115c:a1e0::1"],
      "Self": {"ID": "n1", "DNSName": "node.tail1234.ts.net.",
        "TailscaleIPs": ["100.101.102.103", "fd7a:115c:a1e0::1"]},
      "CertDomains": ["node.tail1234.ts.net"], "Peer": null, "User": null
    }`,
    expect: { ...RUNNING, addresses: ["100.101.102.103", "fd7a:115c:a1e0::1"] },
  },
  {
    name: "a node that isn't logged in",
    why: "it has no addresses yet",
    input: `{"TUN":true,"BackendState":"NeedsLogin","AuthURL":"https://login.tailscale.com/a/1",` +
      `"TailscaleIPs":null,"Self":{"TailscaleIPs":null}}`,
    expect: { state: "NeedsLogin", hasInterface: true, addresses: [] },
  },
  {
    name: "no node at all",
    why: "Self is null before the first login",
    input: `{"TUN":true,"BackendState":"NoState","Self":null}`,
    expect: { state: "NoState", hasInterface: true, addresses: [] },
  },
  {
    name: "userspace networking",
    why: "its addresses aren't the machine's",
    input: `{"TUN":false,"BackendState":"Running","Self":{"TailscaleIPs":["100.64.0.1"]}}`,
    expect: { state: "Running", hasInterface: false, addresses: ["100.64.0.1"] },
  },
  {
    name: "an old tailscaled, which doesn't say TUN",
    why: "whatever isn't said to be missing is there",
    input: `{"BackendState":"Running","Self":{"TailscaleIPs":["100.64.0.1"]}}`,
    expect: { ...RUNNING, addresses: ["100.64.0.1"] },
  },
  {
    name: "one address in two spellings",
    why: "it can be listened on once",
    input: self(`["fd7a:115c:a1e0:0:0:0:0:1","FD7A:115C:A1E0::1"]`),
    expect: { ...RUNNING, addresses: ["fd7a:115c:a1e0::1"] },
  },
  {
    name: "members of the prototype",
    why: "they are nobody's own",
    input: `{"__proto__":{"BackendState":"Running"}}`,
    expect: /BackendState isn't as expected/,
  },
  { name: "all addresses", why: "not an address", input: self(`[""]`), expect: /TailscaleIPs/ },
  { name: "a name", why: "not an address", input: self(`["localhost"]`), expect: /TailscaleIPs/ },
  { name: "a zone", why: "not an address", input: self(`["fe80::1%lo"]`), expect: /TailscaleIPs/ },
  { name: "a number", why: "not an address", input: self(`[1]`), expect: /TailscaleIPs/ },
  { name: "no list", why: "not a list", input: self(`"100.64.0.1"`), expect: /TailscaleIPs/ },
  {
    name: "seventeen addresses",
    why: "a node has two",
    input: self(JSON.stringify(Array.from({ length: 17 }, (_, i) => `100.64.0.${i}`))),
    expect: /TailscaleIPs/,
  },
  {
    name: "a state that is no word",
    why: "it goes to the log",
    input: `{"BackendState":"Running\\u001b[31m"}`,
    expect: /BackendState/,
  },
  { name: "a list", why: "not an object", input: "[]", expect: /BackendState/ },
  { name: "null", why: "not an object", input: "null", expect: /BackendState/ },
  { name: "no JSON", why: "HTML of somebody else", input: "<html>", expect: /JSON isn't/ },
  { name: "half of it", why: "cut", input: `{"BackendState":"Run`, expect: /JSON isn't/ },
  { name: "deep lists", why: "no stack", input: "[".repeat(500_000), expect: /JSON isn't/ },
];

const whois = (user: string, node: string = "{}"): string =>
  `{"Node":${node},"UserProfile":${user},"CapMap":null}`;

/** The fields that upstreams get. */
export const users: readonly Row<readonly string[] | undefined>[] = [
  {
    name: "a user",
    why: "all three, as tailscale serve sets them",
    input: whois(
      `{"ID":7,"LoginName":"alice@example.com","DisplayName":"Alice A.","ProfilePicURL":` +
        `"https://pics.example/a?s=96","Roles":[]}`,
      `{"ID":1,"StableID":"n1","Name":"laptop.tail1234.ts.net.","User":7,"Tags":null}`,
    ),
    expect: [
      ...["Tailscale-User-Login", "alice@example.com", "Tailscale-User-Name", "Alice A."],
      ...["Tailscale-User-Profile-Pic", "https://pics.example/a?s=96"],
    ],
  },
  {
    name: "only a login",
    why: "what isn't there isn't set",
    input: whois(`{"LoginName":"alice@github","DisplayName":"","ProfilePicURL":null}`),
    expect: ["Tailscale-User-Login", "alice@github"],
  },
  {
    name: "a tagged node",
    why: "it belongs to no user",
    input: whois(`{"LoginName":"tagged-devices","DisplayName":"x"}`, `{"Tags":["tag:ci"]}`),
    expect: undefined,
  },
  {
    name: "tags, whatever the user",
    why: "tags replace the user",
    input: whois(`{"LoginName":"alice@example.com"}`, `{"Tags":["tag:ci"]}`),
    expect: undefined,
  },
  {
    name: "tagged devices without tags",
    why: "nobody is called that",
    input: whois(`{"LoginName":"tagged-devices"}`),
    expect: undefined,
  },
  { name: "no login", why: "nobody", input: whois(`{"DisplayName":"x"}`), expect: undefined },
  { name: "no user", why: "nobody", input: `{"Node":{}}`, expect: undefined },
  {
    name: "line ends in a name",
    why: "no field may begin there",
    input: whois(`{"LoginName":"a@b","DisplayName":"x\\r\\nTailscale-User-Login: root\\u0000"}`),
    expect: [
      ...["Tailscale-User-Login", "a@b", "Tailscale-User-Name"],
      "=?utf-8?q?x=0D=0ATailscale-User-Login:_root=00?=",
    ],
  },
  {
    name: "a picture that is no URL",
    why: "it isn't shown",
    input: whois(`{"LoginName":"a@b","ProfilePicURL":"https://a/\\r\\nX: y"}`),
    expect: ["Tailscale-User-Login", "a@b"],
  },
  {
    name: "members of the prototype",
    why: "they are nobody's own",
    input: `{"Node":{},"UserProfile":{"__proto__":{"LoginName":"root"}}}`,
    expect: undefined,
  },
  { name: "no node", why: "nobody's", input: `{"UserProfile":{}}`, expect: /Node/ },
  {
    name: "tags of another kind",
    why: "unsure",
    input: whois("{}", `{"Tags":{}}`),
    expect: /Node/,
  },
  {
    name: "a login of another kind",
    why: "it isn't made a text",
    input: whois(`{"LoginName":["root"]}`),
    expect: /LoginName/,
  },
  {
    name: "a long name",
    why: "upstreams have limits",
    input: whois(`{"LoginName":"a","DisplayName":"${"x".repeat(513)}"}`),
    expect: /DisplayName/,
  },
];

/** Texts as values of fields. */
export const texts: readonly Row<string>[] = [
  { name: "nothing", why: "stays", input: "", expect: "" },
  {
    name: "ASCII",
    why: "stays",
    input: "Alice (Smith) <a_b=c?>",
    expect: "Alice (Smith) <a_b=c?>",
  },
  { name: "a tab", why: "values have them", input: "a\tb", expect: "a\tb" },
  {
    name: "letters of Latvia",
    why: "tailscale serve sends just this",
    input: "Krūmiņa",
    expect: "=?utf-8?q?Kr=C5=ABmi=C5=86a?=",
  },
  {
    name: "what Q has a meaning for",
    why: "it is encoded too",
    input: "é _=?~",
    expect: "=?utf-8?q?=C3=A9_=5F=3D=3F~?=",
  },
  {
    name: "an encoded-word",
    why: "whoever decodes it must get what was there",
    input: "=?utf-8?q?root?=",
    expect: "=?utf-8?q?=3D=3Futf-8=3Fq=3Froot=3F=3D?=",
  },
  { name: "spaces around", why: "values have none", input: " a ", expect: "=?utf-8?q?_a_?=" },
  { name: "DEL", why: "no value has it", input: "\x7f", expect: "=?utf-8?q?=7F?=" },
  {
    name: "a long one",
    why: "an encoded-word has 75 characters at most, and whole letters (RFC 2047 2, 5)",
    input: `${"é".repeat(11)}😀`,
    expect: `=?utf-8?q?${"=C3=A9".repeat(10)}?= =?utf-8?q?=C3=A9=F0=9F=98=80?=`,
  },
  { name: "half a pair", why: "UTF-8 has none", input: "\ud83d", expect: "=?utf-8?q?=EF=BF=BD?=" },
];
