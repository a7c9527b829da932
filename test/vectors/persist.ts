/** Records of DNS-PERSIST-01: what is made, what is read, and what is said of what is there. */

export const ACCOUNT = "https://ca.example/acct/123";
export const THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; // RFC 7638 section 3.1
const PREFIX = "https://ca.example/account-hash/";
const HASHED = `${PREFIX}sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw`;
const ANYWHERE = `${PREFIX}sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug`;

interface Row<Input, Expected> {
  readonly name: string;
  readonly why: string;
  readonly input: Input;
  readonly expect: Expected;
}

/** [domain, thumbprint, account URL] and the hash: draft 02 section 10.2. */
export const hashes: readonly Row<readonly [string, string, string], string>[] = [
  {
    name: "for a domain",
    why: "the draft's test vector",
    input: ["example.com", THUMBPRINT, ACCOUNT],
    expect: "sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw",
  },
  {
    name: "for any domain",
    why: "the draft's second vector",
    input: ["*", THUMBPRINT, ACCOUNT],
    expect: "sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug",
  },
];

/** What the CA and the challenge say; the rest is ACCOUNT and THUMBPRINT. */
export interface Source {
  readonly prefix?: string;
  readonly promised?: readonly string[];
  readonly caa?: readonly string[];
  readonly issuers?: readonly string[];
  readonly accountUri?: string;
  readonly accountUrl?: string;
  readonly names: readonly string[];
  readonly until?: number;
}

const one = ["example.com"] as const;
const draft02 = { prefix: PREFIX, promised: ["authority.example"], names: one };
const long = `https://ca.example/${"a".repeat(281)}`;

/** The zone file's lines, or a part of the message. */
export const made: readonly Row<Source, readonly string[] | string>[] = [
  {
    name: "draft 01",
    why: "the challenge names the account",
    input: { issuers: ["letsencrypt.org"], accountUri: "https://le.example/acct/7", names: one },
    expect: [
      '_validation-persist.example.com. 3600 IN TXT "letsencrypt.org; ' +
      'accounturi=https://le.example/acct/7"',
    ],
  },
  {
    name: "draft 00",
    why: "the challenge doesn't: the account's URL then",
    input: { issuers: ["b.example", "a.example"], names: ["*.example.com"], until: 1721952000.9 },
    expect: [
      '_validation-persist.example.com. 3600 IN TXT "b.example; ' +
      `accounturi=${ACCOUNT}; policy=wildcard; persistUntil=1721952000"`,
    ],
  },
  {
    name: "draft 02",
    why: "section 10.1",
    input: { ...draft02, issuers: ["authority.example", "ca.example.net"] },
    expect: [
      `_validation-persist.example.com. 3600 IN TXT "authority.example; accounturi=${HASHED}"`,
    ],
  },
  {
    name: "draft 02 for a wildcard, before any order",
    why: "sections 10.3 and 10.6: the directory says it all",
    input: { ...draft02, names: ["*.example.com"], until: 1721952000 },
    expect: [
      `_validation-persist.example.com. 3600 IN TXT "authority.example; accounturi=${HASHED}; ` +
      'policy=wildcard; persistUntil=1721952000"',
    ],
  },
  {
    name: "draft 01 by a CA that has a prefix",
    why: "the challenge decides",
    input: { ...draft02, issuers: ["old.example"], accountUri: ACCOUNT },
    expect: [`_validation-persist.example.com. 3600 IN TXT "old.example; accounturi=${ACCOUNT}"`],
  },
  {
    name: "before any order, a CA of drafts 00 and 01",
    why: "its name for CAA is all that is known",
    input: { caa: ["letsencrypt.org"], names: one },
    expect: [
      `_validation-persist.example.com. 3600 IN TXT "letsencrypt.org; accounturi=${ACCOUNT}"`,
    ],
  },
  {
    name: "several names",
    why: "one record a domain, for wildcards where one is wanted, in order",
    input: {
      issuers: ["ca.test"],
      accountUri: "u:1",
      names: ["b.example", "*.a.example", "a.example", "*.b.example", "www.a.example"],
    },
    expect: [
      '_validation-persist.b.example. 3600 IN TXT "ca.test; accounturi=u:1; policy=wildcard"',
      '_validation-persist.a.example. 3600 IN TXT "ca.test; accounturi=u:1; policy=wildcard"',
      '_validation-persist.www.a.example. 3600 IN TXT "ca.test; accounturi=u:1"',
    ],
  },
  {
    name: "more than 255 octets",
    why: "RFC 1035 section 3.3: split, wherever that is",
    input: { issuers: ["ca.test"], accountUri: long, names: ["*.example.com"] },
    expect: [
      '_validation-persist.example.com. 3600 IN TXT "ca.test; accounturi=https://ca.example/' +
      `${"a".repeat(216)}" "${"a".repeat(65)}; policy=wildcard"`,
    ],
  },
  {
    name: "a quote and a backslash",
    why: "RFC 1035 section 5.1: they are escaped, and count once",
    input: { issuers: ["ca.test"], accountUri: 'u:"\\', names: one },
    expect: [
      '_validation-persist.example.com. 3600 IN TXT "ca.test; accounturi=u:\\"\\\\"',
    ],
  },
  {
    name: "a semicolon in the account's URI",
    why: "the CA, or who is between, would add a parameter",
    input: { issuers: ["ca.test"], accountUri: "u:1;policy=wildcard", names: one },
    expect: "can't stand in a record",
  },
  {
    name: "a space in it",
    why: "it ends the value",
    input: { issuers: ["ca.test"], accountUri: "u:1 2", names: one },
    expect: "can't stand in a record",
  },
  {
    name: "a line feed in the prefix",
    why: "it would end the zone file's line",
    input: { ...draft02, prefix: "u:\n" },
    expect: "can't stand in a record",
  },
  {
    name: "an empty account URI",
    why: "accounturi is mandatory",
    input: { issuers: ["ca.test"], accountUri: "", names: one },
    expect: "can't stand in a record",
  },
  {
    name: "an account URI without end",
    why: "there is a limit",
    input: { issuers: ["ca.test"], accountUri: "u".repeat(2049), names: one },
    expect: "can't stand in a record",
  },
  {
    name: "no issuers in the challenge",
    why: "section 3.1: clients MUST refuse it",
    input: { issuers: [], names: one },
    expect: "expected 1 to 10 names",
  },
  {
    name: "11 issuers",
    why: "section 3.1: clients MUST refuse it",
    input: { issuers: "abcdefghijk".split("").map((name) => `${name}.example`), names: one },
    expect: "expected 1 to 10 names",
  },
  {
    name: "an issuer in capitals",
    why: "section 3.1: all lower case",
    input: { issuers: ["CA.test"], names: one },
    expect: '"CA.test": expected 1 to 10 names',
  },
  {
    name: "an issuer with a last dot",
    why: "section 3.1: none",
    input: { issuers: ["ca.test."], names: one },
    expect: "expected 1 to 10 names",
  },
  {
    name: "an issuer that no record can have",
    why: "RFC 8659 has no underscores",
    input: { issuers: ["_ca.test"], names: one },
    expect: "expected 1 to 10 names",
  },
  {
    name: "an issuer that is more than a name",
    why: "it would add a parameter",
    input: { issuers: ["ca.test; accounturi=u:2"], names: one },
    expect: "expected 1 to 10 names",
  },
  {
    name: "a CA that says no name, before any order",
    why: "nothing can be printed",
    input: { names: one },
    expect: "expected 1 to 10 names",
  },
  {
    name: "draft 02 without the directory's names",
    why: "those for CAA needn't be those for this",
    input: { prefix: PREFIX, caa: ["ca.test"], names: one },
    expect: "expected 1 to 10 names",
  },
  {
    name: "a challenge without a name that the directory promises",
    why: "section 3.2: clients MUST refuse it",
    input: { ...draft02, issuers: ["other.example"] },
    expect: "those of its directory",
  },
  {
    name: "a challenge with a name that isn't for CAA",
    why: "section 3.2: clients MUST refuse it",
    input: {
      ...draft02,
      caa: ["authority.example"],
      issuers: ["authority.example", "hidden.example"],
    },
    expect: "of its caaIdentities",
  },
  {
    name: "the same in draft 01",
    why: "it has no such rule",
    input: { caa: ["ca.test"], issuers: ["hidden.example"], accountUri: "u:1", names: one },
    expect: ['_validation-persist.example.com. 3600 IN TXT "hidden.example; accounturi=u:1"'],
  },
  {
    name: "an address",
    why: "there is no record for it",
    input: { ...draft02, names: ["192.0.2.1"] },
    expect: '"192.0.2.1" is no domain name',
  },
  {
    name: "a wildcard in a wildcard",
    why: "only the first label may be one",
    input: { ...draft02, names: ["*.*.example.com"] },
    expect: "is no domain name",
  },
];

/** [issuer, accountUri, wildcard, seconds since the epoch], as far as they are there. */
export type Parts = readonly [string, (string | undefined)?, boolean?, number?];

/** RFC 8659 section 4.2's grammar and the draft's section 4.1; undefined: malformed. */
export const read: readonly Row<string, Parts | undefined>[] = [
  {
    name: "all of it",
    why: "",
    input: "a.example; accounturi=u:1; policy=wildcard; persistUntil=9",
    expect: ["a.example", "u:1", true, 9],
  },
  {
    name: "no white space",
    why: "it is optional",
    input: "a.example;accounturi=u:1",
    expect: ["a.example", "u:1"],
  },
  {
    name: "white space everywhere",
    why: "blanks and tabs",
    input: " \ta.example \t; accounturi \t= u:1 ;\tpolicy\t=\twildcard ",
    expect: ["a.example", "u:1", true],
  },
  {
    name: "tags in any case",
    why: "RFC 8659 4.2",
    input: "a; ACCOUNTURI=u:1; Policy=WildCard; PERSISTUNTIL=1",
    expect: ["a", "u:1", true, 1],
  },
  {
    name: "the issuer in capitals",
    why: "names have no case",
    input: "A.Example; accounturi=u:1",
    expect: ["a.example", "u:1"],
  },
  {
    name: "the account in capitals",
    why: "kept: case counts",
    input: "a; accounturi=U:A",
    expect: ["a", "U:A"],
  },
  {
    name: "an unknown tag",
    why: "4.1: MUST be ignored",
    input: "a; accounturi=u:1; later=x",
    expect: ["a", "u:1"],
  },
  {
    name: "an unknown tag twice",
    why: "a duplicate all the same",
    input: "a; x=1; accounturi=u:1; X=2",
    expect: undefined,
  },
  {
    name: "two accounts",
    why: "which one? malformed",
    input: "a; accounturi=u:1; accounturi=u:1",
    expect: undefined,
  },
  {
    name: "two accounts in cases",
    why: "tags have no case",
    input: "a; accounturi=u:1; accountURI=u:2",
    expect: undefined,
  },
  {
    name: "another policy",
    why: "4.1: as if it weren't there",
    input: "a; accounturi=u:1; policy=subdomains",
    expect: ["a", "u:1"],
  },
  {
    name: "no account",
    why: "the grammar has it, though it is wrong",
    input: "a.example",
    expect: ["a.example"],
  },
  {
    name: "an empty account",
    why: "a value may be empty",
    input: "a; accounturi=",
    expect: ["a", ""],
  },
  {
    name: "an equals sign in a value",
    why: "%x21-3A / %x3C-7E",
    input: "a; accounturi=u:1?b=c",
    expect: ["a", "u:1?b=c"],
  },
  {
    name: "no issuer",
    why: "RFC 8659: nobody may",
    input: "; accounturi=u:1",
    expect: ["", "u:1"],
  },
  { name: "nothing at all", why: "an issue-value as well", input: "", expect: [""] },
  {
    name: "one last semicolon",
    why: "the grammar has it without parameters",
    input: "a.example ; ",
    expect: ["a.example"],
  },
  {
    name: "a semicolon after a parameter",
    why: "the grammar lacks it",
    input: "a; accounturi=u:1;",
    expect: undefined,
  },
  {
    name: "two semicolons",
    why: "no parameter between",
    input: "a;; accounturi=u:1",
    expect: undefined,
  },
  { name: "only two semicolons", why: "no parameter between", input: "a;;", expect: undefined },
  { name: "a parameter without =", why: "malformed", input: "a; wildcard", expect: undefined },
  { name: "a parameter without tag", why: "malformed", input: "a; =x", expect: undefined },
  { name: "a tag with a space", why: "malformed", input: "a; account uri=u:1", expect: undefined },
  { name: "a tag with -", why: "RFC 8659 4.2, inside", input: "a; x--y=1", expect: ["a"] },
  { name: "a tag that ends in -", why: "malformed", input: "a; x-=1", expect: undefined },
  { name: "a tag with _", why: "malformed", input: "a; x_y=1", expect: undefined },
  {
    name: "a value with a space",
    why: "malformed",
    input: "a; accounturi=u: 1",
    expect: undefined,
  },
  {
    name: "a value with a letter that isn't ASCII",
    why: "malformed",
    input: "a; accounturi=u:\xe9",
    expect: undefined,
  },
  {
    name: "a value with a control",
    why: "malformed",
    input: "a; accounturi=u:\x07",
    expect: undefined,
  },
  {
    name: "a line feed as white space",
    why: "WSP is blank and tab",
    input: "a;\naccounturi=u:1",
    expect: undefined,
  },
  {
    name: "a line feed at the end",
    why: "$ must not take it for one",
    input: "a; accounturi=u:1\n",
    expect: undefined,
  },
  {
    name: "an issuer with a last dot",
    why: "no label follows",
    input: "a.example.; accounturi=u:1",
    expect: undefined,
  },
  {
    name: "an issuer with _",
    why: "no label has one",
    input: "_a.example; accounturi=u:1",
    expect: undefined,
  },
  {
    name: "an issuer that ends in -",
    why: "no label does",
    input: "a-; accounturi=u:1",
    expect: undefined,
  },
  {
    name: "two issuers",
    why: "malformed",
    input: "a.example b.example; accounturi=u:1",
    expect: undefined,
  },
  {
    name: "quotes around it all",
    why: "entered twice quoted",
    input: '"a.example; accounturi=u:1"',
    expect: undefined,
  },
  {
    name: "an end at the epoch",
    why: "a time like any",
    input: "a; accounturi=u:1; persistUntil=0",
    expect: ["a", "u:1", false, 0],
  },
  {
    name: "an end as a date",
    why: "4.1: MUST be rejected",
    input: "a; accounturi=u:1; persistUntil=2027-01-01",
    expect: undefined,
  },
  {
    name: "an end with a sign",
    why: "strict",
    input: "a; accounturi=u:1; persistUntil=+1",
    expect: undefined,
  },
  {
    name: "an end in hexadecimal",
    why: "base 10",
    input: "a; accounturi=u:1; persistUntil=0x1",
    expect: undefined,
  },
  {
    name: "an end without digits",
    why: "not an integer",
    input: "a; accounturi=u:1; persistUntil=",
    expect: undefined,
  },
  {
    name: "the last time",
    why: "of a Date",
    input: "a; persistUntil=8640000000000",
    expect: ["a", undefined, false, 8640000000000],
  },
  {
    name: "a time after the last",
    why: "milliseconds, perhaps, or nonsense",
    input: "a; persistUntil=8640000000001",
    expect: undefined,
  },
];

/** 2027-01-01T00:00:00Z. */
export const NOW = 1_798_761_600;
const DAY = 86_400;
const ours = (more = "", account = "u:1") => `ca.test; accounturi=${account}${more}`;
const until = (seconds: number) => ours(`; persistUntil=${seconds}`);
const line = '_validation-persist.example.com. 3600 IN TXT "ca.test; accounturi=u:1"';

export interface Found {
  readonly values: readonly string[];
  readonly wildcard?: boolean;
  /** Instead of ca.test and u:1. */
  readonly issuers?: readonly string[];
  readonly accountUris?: readonly string[];
}

/** The state, its end in seconds, and parts of the message. */
export type Judged = readonly [state: string, until: number | undefined, ...parts: string[]];

export const judged: readonly Row<Found, Judged>[] = [
  {
    name: "no record",
    why: "the line to add is told",
    input: { values: [] },
    expect: [
      "missing",
      undefined,
      `no record for ca.test at _validation-persist.example.com: add ${line}`,
    ],
  },
  {
    name: "other CAs' records",
    why: "no concern of ours, malformed or not; several names are told",
    input: {
      values: ["other.example; accounturi=u:1", "v=spf1 -all", "other.example; x", ""],
      issuers: ["ca.test", "ca2.test"],
    },
    expect: ["missing", undefined, "no record for ca.test or ca2.test"],
  },
  {
    name: "a record",
    why: "beside another CA's",
    input: { values: ["other.example; accounturi=u:2", ours()] },
    expect: [
      "good",
      undefined,
      "the record for ca.test at _validation-persist.example.com is right",
    ],
  },
  {
    name: "any issuer and any account URI that will do",
    why: "draft 02: the hash for any domain",
    input: {
      values: [`ca2.test; accounturi=${ANYWHERE}`],
      issuers: ["ca.test", "ca2.test"],
      accountUris: [HASHED, ANYWHERE],
    },
    expect: ["good", undefined, "the record for ca2.test"],
  },
  {
    name: "a record for wildcards where none is needed",
    why: "it covers the name itself",
    input: { values: [ours("; policy=wildcard")] },
    expect: ["good", undefined],
  },
  {
    name: "a record that isn't for wildcards",
    why: "4.1: without the policy only the name itself",
    input: { values: [ours()], wildcard: true },
    expect: [
      "wrong",
      undefined,
      "isn't for wildcards",
      'replace it by _validation-persist.example.com. 3600 IN TXT "ca.test; accounturi=u:1; ' +
      'policy=wildcard"',
    ],
  },
  {
    name: "another account",
    why: "what is there is told",
    input: { values: [ours("", "u:2")] },
    expect: [
      "wrong",
      undefined,
      'names another account: it says "ca.test; accounturi=u:2"; ' + `replace it by ${line}`,
    ],
  },
  {
    name: "another account by its case",
    why: "RFC 3986 6.2.1: Simple String Comparison",
    input: { values: [ours("", "U:1")] },
    expect: ["wrong", undefined, "names another account"],
  },
  {
    name: "no account",
    why: "accounturi is mandatory",
    input: { values: ["ca.test; policy=wildcard"] },
    expect: ["wrong", undefined, "names no account"],
  },
  {
    name: "malformed",
    why: "it is ours by its first part, and the CA rejects it",
    input: { values: [ours("; accounturi=u:1\u202e")] },
    expect: ["wrong", undefined, "can't be read: it says", "\\u202e"],
  },
  {
    name: "a wrong one and a right one",
    why: "4.3.2: any that satisfies will do",
    input: { values: [ours("", "u:2"), "ca.test; x", ours()] },
    expect: ["good", undefined],
  },
  {
    name: "an end that is far",
    why: "good, and the end is told",
    input: { values: [until(NOW + 31 * DAY)] },
    expect: ["good", NOW + 31 * DAY, "is right until 2027-02-01T00:00:00.000Z"],
  },
  {
    name: "an end that is near",
    why: "warned of 30 days before",
    input: { values: [until(NOW + 30 * DAY)] },
    expect: [
      "expiring",
      NOW + 30 * DAY,
      "ends 2027-01-31T00:00:00.000Z, and after that no certificate can be had",
      `replace it by ${line}`,
    ],
  },
  {
    name: "an end that is now",
    why: "not valid after it; and now is too late to be sure",
    input: { values: [until(NOW)] },
    expect: ["expired", NOW, "ended 2027-01-01T00:00:00.000Z", `replace it by ${line}`],
  },
  {
    name: "one second left",
    why: "still valid",
    input: { values: [until(NOW + 1)] },
    expect: ["expiring", NOW + 1],
  },
  {
    name: "several ends",
    why: "the last counts",
    input: { values: [until(NOW - DAY), until(NOW + 99 * DAY), until(NOW + DAY)] },
    expect: ["good", NOW + 99 * DAY],
  },
  {
    name: "an end and none",
    why: "without an end it holds",
    input: { values: [until(NOW - DAY), ours()] },
    expect: ["good", undefined],
  },
  {
    name: "another account's without end beside ours that ended",
    why: "ours counts",
    input: { values: [ours("", "u:2"), until(NOW - DAY)] },
    expect: ["expired", NOW - DAY],
  },
];
