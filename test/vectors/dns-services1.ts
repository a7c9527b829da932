/**
 * What the DNS providers cloudflare, duckdns, hetzner, porkbun and route53 ask of their services,
 * and what becomes of the answers. Shapes are those of the services' documentation; nothing here
 * was recorded from an account.
 */

/** A request that must come, field by field and byte by byte, and the answer to it. */
export interface Exchange {
  readonly request: {
    readonly method: string;
    readonly url: string;
    /** Flat; `Signature=*` stands for the signature of just this request. */
    readonly fields: readonly string[];
    readonly body?: string;
  };
  readonly status: number;
  /** An object is sent as JSON. */
  readonly answer: string | object;
}

export interface ServiceRow {
  readonly name: string;
  readonly why: string;
  readonly provider: "cloudflare" | "duckdns" | "hetzner" | "porkbun" | "route53";
  /** Beside those of USUAL_ENV. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where the value goes, if not to NAME. */
  readonly record?: string;
  /** What zoneOf() says, if not example.com. */
  readonly zone?: string;
  readonly action: "present" | "cleanUp";
  readonly exchanges: readonly Exchange[];
  /** What the message of the DnsProviderError must have, in order; absent when all goes well. */
  readonly expect?: readonly string[];
}

export const NAME = "_acme-challenge.www.example.com";
export const VALUE = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
const OTHER = "another-value-that-someone-else-put-there-0";

export const USUAL_ENV: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  cloudflare: { CF_DNS_API_TOKEN: "cf-dns-token" },
  duckdns: { DUCKDNS_TOKEN: "a7c4d0ad-114e" },
  hetzner: { HETZNER_API_TOKEN: "hetzner-token", HETZNER_POLLING_INTERVAL: "0" },
  porkbun: { PORKBUN_API_KEY: "pk1_0123", PORKBUN_SECRET_API_KEY: "sk1_4567" },
  route53: {
    AWS_ACCESS_KEY_ID: "AKIDEXAMPLE",
    AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
  },
};

// ---- cloudflare

const CLOUDFLARE = "https://api.cloudflare.com/client/v4";
const CF_ZONE = "023e105f4ecef8ad9ca31a8372d0c353";
const CF_RECORD = "372e67954025e0ba6aaa6d586b9e0b59";

function cloudflare(
  method: string,
  path: string,
  answer: string | object,
  more: { status?: number; json?: object; fields?: readonly string[] } = {},
): Exchange {
  const { status = 200, json, fields = ["Authorization", "Bearer cf-dns-token"] } = more;
  const type = json === undefined ? [] : ["Content-Type", "application/json"];
  const body = json === undefined ? {} : { body: JSON.stringify(json) };
  const request = { method, url: CLOUDFLARE + path, fields: [...fields, ...type], ...body };
  return { request, status, answer };
}

const cfResult = (result: unknown) => ({ success: true, errors: [], messages: [], result });
const cfError = (code: number, message: string) => ({
  success: false,
  errors: [{ code, message }],
  messages: [],
  result: null,
});
const cfZone = (name: string, id: string = CF_ZONE, status: string = "active") => ({
  id,
  name,
  status,
});
const cfZones = (fields?: readonly string[]): Exchange[] => [
  cloudflare("GET", "/zones?name=_acme-challenge.www.example.com", cfResult([]), {
    ...(fields && { fields }),
  }),
  cloudflare("GET", "/zones?name=www.example.com", cfResult([]), { ...(fields && { fields }) }),
  cloudflare("GET", "/zones?name=example.com", cfResult([cfZone("example.com")]), {
    ...(fields && { fields }),
  }),
];
const CF_RECORDS = `/zones/${CF_ZONE}/dns_records`;
const cfList = (contents: readonly string[], more: object = {}): Exchange =>
  cloudflare(
    "GET",
    `${CF_RECORDS}?type=TXT&name=${NAME}&per_page=100`,
    cfResult(contents.map((content, at) => ({
      id: at === 0 ? CF_RECORD : `${CF_RECORD.slice(0, -1)}${at}`,
      type: "TXT",
      name: NAME,
      content,
      ttl: 120,
    }))),
    more,
  );
const CF_JSON = { type: "TXT", name: NAME, content: `"${VALUE}"`, ttl: 120 };
const CF_PERMISSIONS = "it needs the permissions Zone:Read and DNS:Edit";

const cloudflareRows: readonly ServiceRow[] = [
  {
    name: "cloudflare adds a value beside another",
    why: "both values of a name and its wildcard are there at once",
    provider: "cloudflare",
    action: "present",
    exchanges: [
      ...cfZones(),
      cfList([`"${OTHER}"`]),
      cloudflare("POST", CF_RECORDS, cfResult({ id: CF_RECORD, ...CF_JSON }), { json: CF_JSON }),
    ],
  },
  {
    name: "cloudflare reads zones with the token for zones",
    why: "lego's two tokens: the one for records may not see zones",
    provider: "cloudflare",
    env: { CLOUDFLARE_ZONE_API_TOKEN: "cf-zone-token", CF_TTL: "300" },
    action: "present",
    exchanges: [
      ...cfZones(["Authorization", "Bearer cf-zone-token"]),
      cfList([]),
      cloudflare("POST", CF_RECORDS, cfResult({ id: CF_RECORD }), {
        json: { ...CF_JSON, ttl: 300 },
      }),
    ],
  },
  {
    name: "cloudflare takes the Global API Key",
    why: "lego prefers it when both of its variables are there",
    provider: "cloudflare",
    env: { CF_API_EMAIL: "me@example.com", CLOUDFLARE_API_KEY: "global-key" },
    action: "cleanUp",
    exchanges: [
      ...cfZones(["X-Auth-Email", "me@example.com", "X-Auth-Key", "global-key"]),
      cfList([], { fields: ["X-Auth-Email", "me@example.com", "X-Auth-Key", "global-key"] }),
    ],
  },
  {
    name: "cloudflare prefers the active one of zones with the same name",
    why: "a zone that moved to another account stays behind",
    provider: "cloudflare",
    record: "_acme-challenge.example.com",
    action: "cleanUp",
    exchanges: [
      cloudflare("GET", "/zones?name=_acme-challenge.example.com", cfResult([])),
      cloudflare(
        "GET",
        "/zones?name=example.com",
        cfResult([
          cfZone("xexample.com", "f".repeat(32)),
          cfZone("example.com", "0".repeat(32), "moved"),
          cfZone("example.com"),
        ]),
      ),
      cloudflare(
        "GET",
        `${CF_RECORDS}?type=TXT&name=_acme-challenge.example.com&per_page=100`,
        cfResult([]),
      ),
    ],
  },
  {
    name: "cloudflare leaves a value that is there",
    why: "an order that was broken off left it; a second one would be an error there",
    provider: "cloudflare",
    action: "present",
    exchanges: [...cfZones(), cfList([VALUE])],
  },
  {
    name: "cloudflare deletes the one record",
    why: "the other values aren't ours",
    provider: "cloudflare",
    action: "cleanUp",
    exchanges: [
      ...cfZones(),
      cfList([`"${VALUE}"`, `"${OTHER}"`]),
      cloudflare("DELETE", `${CF_RECORDS}/${CF_RECORD}`, cfResult({ id: CF_RECORD })),
    ],
  },
  {
    name: "cloudflare deletes nothing of another type or name",
    why: "what a service sends is checked, not only asked for",
    provider: "cloudflare",
    action: "cleanUp",
    exchanges: [
      ...cfZones(),
      cloudflare(
        "GET",
        `${CF_RECORDS}?type=TXT&name=${NAME}&per_page=100`,
        cfResult([
          { id: CF_RECORD, type: "SPF", name: NAME, content: VALUE },
          { id: CF_RECORD, type: "TXT", name: `x${NAME}`, content: VALUE },
          { id: CF_RECORD, type: "TXT", name: NAME, content: OTHER },
          null,
          7,
        ]),
      ),
    ],
  },
  {
    name: "cloudflare has nothing to clean up",
    why: "a value that isn't there is no error",
    provider: "cloudflare",
    action: "cleanUp",
    exchanges: [...cfZones(), cfList([])],
  },
  {
    name: "cloudflare finds a record gone when it deletes it",
    why: "someone else was faster",
    provider: "cloudflare",
    action: "cleanUp",
    exchanges: [
      ...cfZones(),
      cfList([VALUE]),
      cloudflare("DELETE", `${CF_RECORDS}/${CF_RECORD}`, cfError(81044, "Record not found"), {
        status: 404,
      }),
    ],
  },
  {
    name: "cloudflare refuses the token",
    why: "the message names the permissions",
    provider: "cloudflare",
    action: "present",
    exchanges: [
      cloudflare("GET", "/zones?name=_acme-challenge.www.example.com", cfError(9109, "Invalid"), {
        status: 403,
      }),
    ],
    expect: ["Cloudflare refused the token (CF_DNS_API_TOKEN) (403)", CF_PERMISSIONS, '"Invalid"'],
  },
  {
    name: "cloudflare refuses what can't be a token",
    why: "it answers 400 then",
    provider: "cloudflare",
    action: "present",
    exchanges: [
      cloudflare(
        "GET",
        "/zones?name=_acme-challenge.www.example.com",
        cfError(6003, "Invalid request headers"),
        { status: 400 },
      ),
    ],
    expect: ["(400)", CF_PERMISSIONS, "Invalid request headers"],
  },
  {
    name: "cloudflare refuses the token for records",
    why: "the permission DNS:Edit lacks",
    provider: "cloudflare",
    env: { CF_ZONE_API_TOKEN: "cf-zone-token" },
    action: "present",
    exchanges: [
      ...cfZones(["Authorization", "Bearer cf-zone-token"]),
      cfList([]),
      cloudflare("POST", CF_RECORDS, cfError(10000, "Authentication error cf-dns-token"), {
        json: CF_JSON,
        status: 403,
      }),
    ],
    expect: ["the token (CF_DNS_API_TOKEN) (403)", CF_PERMISSIONS, "Authentication error (hidden)"],
  },
  {
    name: "cloudflare is asked too often",
    why: "its limit is for all programs of a user",
    provider: "cloudflare",
    action: "cleanUp",
    exchanges: [
      cloudflare("GET", "/zones?name=_acme-challenge.www.example.com", cfError(971, "slow"), {
        status: 429,
      }),
    ],
    expect: ["Cloudflare refused the request (429): 1,200 requests in five minutes", "slow"],
  },
  {
    name: "cloudflare shows no zone",
    why: "the token is for other zones",
    provider: "cloudflare",
    action: "present",
    exchanges: [
      ...cfZones().slice(0, 2),
      cloudflare("GET", "/zones?name=example.com", cfResult([])),
    ],
    expect: [
      `no zone that holds "${NAME}" was found with the token (CF_DNS_API_TOKEN)`,
      "Zone:Read",
    ],
  },
  {
    name: "cloudflare sends a zone's id that isn't one",
    why: "it would get into a path",
    provider: "cloudflare",
    record: "_acme-challenge.example.com",
    action: "present",
    exchanges: [
      cloudflare(
        "GET",
        "/zones?name=_acme-challenge.example.com",
        cfResult([cfZone("_acme-challenge.example.com", "../user")]),
      ),
    ],
    expect: ["Cloudflare sent something else than the id expected"],
  },
  {
    name: "cloudflare sends a record's id that isn't one",
    why: "it would get into a path of a DELETE",
    provider: "cloudflare",
    action: "cleanUp",
    exchanges: [
      ...cfZones(),
      cloudflare(
        "GET",
        `${CF_RECORDS}?type=TXT&name=${NAME}&per_page=100`,
        cfResult([{ id: "..", type: "TXT", name: NAME, content: VALUE }]),
      ),
    ],
    expect: ["something else than the id expected"],
  },
  ...[{}, [], "null", cfResult(null), cfResult({ 0: "x" })].map((answer): ServiceRow => ({
    name: `cloudflare sends ${JSON.stringify(answer)}`,
    why: "malformed",
    provider: "cloudflare",
    action: "present",
    exchanges: [cloudflare("GET", "/zones?name=_acme-challenge.www.example.com", answer)],
    expect: ["Cloudflare sent something else than the list of zones expected"],
  })),
  {
    name: "cloudflare sends a page instead of JSON",
    why: "malformed",
    provider: "cloudflare",
    action: "present",
    exchanges: [cloudflare("GET", "/zones?name=_acme-challenge.www.example.com", "<html>")],
    expect: ["Cloudflare answered 200, but not with JSON", "<html>"],
  },
];

// ---- duckdns

function duckdns(query: string, answer: string, status: number = 200): Exchange {
  const url = `https://www.duckdns.org/update?${query}`;
  return { request: { method: "GET", url, fields: [] }, status, answer };
}

const DUCK = { provider: "duckdns", record: "_acme-challenge.www.mine.duckdns.org" } as const;
const DUCK_PRESENT = `domains=mine&token=a7c4d0ad-114e&txt=${VALUE}`;

const duckdnsRows: readonly ServiceRow[] = [
  {
    ...DUCK,
    name: "duckdns sets the value",
    why: "one for the name and all below it",
    action: "present",
    exchanges: [duckdns(DUCK_PRESENT, "OK")],
  },
  {
    ...DUCK,
    name: "duckdns takes what is needed of a token as it is",
    why: "queries are encoded",
    env: { DUCKDNS_TOKEN: "a b&c=d" },
    record: "_acme-challenge.mine.duckdns.org",
    action: "present",
    exchanges: [duckdns(`domains=mine&token=a%20b%26c%3Dd&txt=${VALUE}`, "OK\n")],
  },
  {
    ...DUCK,
    name: "duckdns clears the value",
    why: "with it when it is gone too",
    action: "cleanUp",
    exchanges: [duckdns(`${DUCK_PRESENT}&clear=true`, "OK")],
  },
  {
    ...DUCK,
    name: "duckdns refuses",
    why: "KO is all that it says, with status 200",
    action: "present",
    exchanges: [duckdns(DUCK_PRESENT, "KO")],
    expect: ["DuckDNS refused the token (DUCKDNS_TOKEN) or the name", "has mine.duckdns.org"],
  },
  {
    ...DUCK,
    name: "duckdns refuses to clear",
    why: "as before",
    action: "cleanUp",
    exchanges: [duckdns(`${DUCK_PRESENT}&clear=true`, "KO")],
    expect: ["DuckDNS refused the token"],
  },
  {
    ...DUCK,
    name: "duckdns is asked too often",
    why: "and what it says may have the token",
    action: "present",
    exchanges: [duckdns(DUCK_PRESENT, "slow a7c4d0ad-114e", 429)],
    expect: ['DuckDNS refused the request (429); it says "slow (hidden)"'],
  },
  ...["", "OKAY", "ok", "<html>OK", "OK KO"].map((answer): ServiceRow => ({
    ...DUCK,
    name: `duckdns sends ${JSON.stringify(answer)}`,
    why: "malformed",
    action: "present",
    exchanges: [duckdns(DUCK_PRESENT, answer)],
    expect: ["DuckDNS answered neither OK nor KO"],
  })),
  ...[
    "_acme-challenge.example.com",
    "duckdns.org",
    "mine.duckdns.org.example",
    "a.xduckdns.org",
    "a.mine-duckdns.org",
    "_mine.duckdns.org",
  ]
    .map((record): ServiceRow => ({
      name: `duckdns has nothing to do with ${record}`,
      why: "zone not found",
      provider: "duckdns",
      record,
      action: "present",
      exchanges: [],
      expect: [`"${record}" is not below a name in duckdns.org`],
    })),
];

// ---- hetzner

function hetzner(
  method: string,
  path: string,
  answer: string | object,
  more: { status?: number; json?: object } = {},
): Exchange {
  const { status = 200, json } = more;
  const type = json === undefined ? [] : ["Content-Type", "application/json"];
  const fields = ["Authorization", "Bearer hetzner-token", ...type];
  const body = json === undefined ? {} : { body: JSON.stringify(json) };
  const url = `https://api.hetzner.cloud/v1${path}`;
  return { request: { method, url, fields, ...body }, status, answer };
}

const H_SET = "/zones/example.com/rrsets/_acme-challenge.www/TXT";
const H_NONE = { error: { code: "not_found", message: "Entity not found" } };
const hSet = (...values: readonly string[]) => ({
  rrset: {
    id: "_acme-challenge.www/TXT",
    name: "_acme-challenge.www",
    type: "TXT",
    ttl: 3600,
    records: values.map((value) => ({ value: `"${value}"`, comment: "" })),
    zone: 42,
  },
});
const hAction = (status: string, error: object | null = null, id: unknown = 17) => ({
  action: { id, command: "add_rrset_records", status, progress: 50, error },
});
const H_RECORDS = { records: [{ value: `"${VALUE}"` }] };
const hAdd = (answer: object, json: object = H_RECORDS, status: number = 201): Exchange =>
  hetzner("POST", `${H_SET}/actions/add_records`, answer, { json, status });
const hFirst = (...exchanges: readonly Exchange[]): Pick<ServiceRow, "provider" | "exchanges"> => ({
  provider: "hetzner",
  exchanges: [hetzner("GET", H_SET, H_NONE, { status: 404 }), ...exchanges],
});

const hetznerRows: readonly ServiceRow[] = [
  {
    name: "hetzner adds the first value, and waits for the action",
    why: "the service takes it later",
    action: "present",
    ...hFirst(
      hAdd(hAction("running"), { ttl: 120, ...H_RECORDS }),
      hetzner("GET", "/actions/17", hAction("running")),
      hetzner("GET", "/actions/17", hAction("success")),
    ),
  },
  {
    name: "hetzner adds a value beside another",
    why: "the TTL is for all values: it stays",
    provider: "hetzner",
    action: "present",
    exchanges: [hetzner("GET", H_SET, hSet(OTHER)), hAdd(hAction("success"))],
  },
  {
    name: "hetzner's own name of a zone is @",
    why: "a delegated name may be the zone itself",
    provider: "hetzner",
    env: { HETZNER_TTL: "60" },
    record: "example.com",
    action: "present",
    exchanges: [
      hetzner("GET", "/zones/example.com/rrsets/%40/TXT", H_NONE, { status: 404 }),
      hetzner("POST", "/zones/example.com/rrsets/%40/TXT/actions/add_records", hAction("success"), {
        json: { ttl: 60, ...H_RECORDS },
        status: 201,
      }),
    ],
  },
  {
    name: "hetzner leaves a value that is there",
    why: "an order that was broken off left it",
    provider: "hetzner",
    action: "present",
    exchanges: [hetzner("GET", H_SET, hSet(OTHER, VALUE))],
  },
  {
    name: "hetzner removes the one value",
    why: "the other values aren't ours",
    provider: "hetzner",
    action: "cleanUp",
    exchanges: [
      hetzner("GET", H_SET, hSet(OTHER, VALUE)),
      hetzner("POST", `${H_SET}/actions/remove_records`, hAction("running"), {
        json: H_RECORDS,
        status: 201,
      }),
      hetzner("GET", "/actions/17", hAction("success")),
    ],
  },
  {
    name: "hetzner has no value to clean up",
    why: "no error",
    action: "cleanUp",
    ...hFirst(),
  },
  {
    name: "hetzner has only another value to clean up",
    why: "no error",
    provider: "hetzner",
    action: "cleanUp",
    exchanges: [hetzner("GET", H_SET, hSet(OTHER))],
  },
  {
    name: "hetzner finds the value gone when it removes it",
    why: "someone else was faster",
    provider: "hetzner",
    action: "cleanUp",
    exchanges: [
      hetzner("GET", H_SET, hSet(VALUE)),
      hetzner("POST", `${H_SET}/actions/remove_records`, H_NONE, { json: H_RECORDS, status: 404 }),
    ],
  },
  {
    name: "hetzner refuses the token",
    why: "the message names what it must be",
    provider: "hetzner",
    action: "present",
    exchanges: [
      hetzner(
        "GET",
        H_SET,
        { error: { code: "unauthorized", message: "unable to authenticate" } },
        {
          status: 401,
        },
      ),
    ],
    expect: [
      "Hetzner refused the token (HETZNER_API_TOKEN) (401)",
      "it must be a read and write token of the project that has the zone example.com",
      "unable to authenticate",
    ],
  },
  {
    name: "hetzner refuses a token that only reads",
    why: "it shows when something is written",
    action: "present",
    ...hFirst(
      hAdd({ error: { code: "token_readonly", message: "token is only allowed to read" } }, {
        ttl: 120,
        ...H_RECORDS,
      }, 403),
    ),
    expect: ["(403): it must be a read and write token", "only allowed to read"],
  },
  {
    name: "hetzner has no such zone",
    why: "the token is of another project",
    action: "present",
    ...hFirst(hAdd(H_NONE, { ttl: 120, ...H_RECORDS }, 404)),
    expect: ["(404): HETZNER_API_TOKEN must be of the project that has the zone example.com"],
  },
  {
    name: "hetzner is asked too often",
    why: "its limit is for a project",
    provider: "hetzner",
    action: "cleanUp",
    exchanges: [
      hetzner("GET", H_SET, { error: { code: "rate_limit_exceeded", message: "limit" } }, {
        status: 429,
      }),
    ],
    expect: ["Hetzner refused the request (429): 3,600 requests an hour"],
  },
  {
    name: "hetzner's action fails",
    why: "the service took it and could not do it",
    action: "present",
    ...hFirst(
      hAdd(hAction("running"), { ttl: 120, ...H_RECORDS }),
      hetzner(
        "GET",
        "/actions/17",
        hAction("error", { code: "action_failed", message: "hetzner-token failed" }),
      ),
    ),
    expect: ['Hetzner could not change example.com; it says "(hidden) failed"'],
  },
  {
    name: "hetzner's action never ends",
    why: "as many looks as the time has",
    env: { HETZNER_PROPAGATION_TIMEOUT: "0" },
    action: "present",
    ...hFirst(hAdd(hAction("running"), { ttl: 120, ...H_RECORDS })),
    expect: ["Hetzner did not end action 17 in time"],
  },
  ...[hAction("running", null, "../x"), hAction("running", null, 1.5), hAction("odd"), {}, {
    action: null,
  }].map((answer): ServiceRow => ({
    name: `hetzner answers a change with ${JSON.stringify(answer)}`,
    why: "malformed",
    action: "present",
    ...hFirst(hAdd(answer, { ttl: 120, ...H_RECORDS })),
    expect: ["Hetzner sent something else than the action expected"],
  })),
  ...[{}, { rrset: [] }, { rrset: { records: {} } }].map((answer): ServiceRow => ({
    name: `hetzner answers a look with ${JSON.stringify(answer)}`,
    why: "malformed",
    provider: "hetzner",
    action: "cleanUp",
    exchanges: [hetzner("GET", H_SET, answer)],
    expect: ["Hetzner sent something else than the records expected"],
  })),
  ...(["hetzner", "porkbun"] as const).flatMap((provider): ServiceRow[] => [
    {
      name: `${provider} is given a zone that can't be one`,
      why: "it comes from the DNS, and gets into a path",
      provider,
      zone: "www.example.com/..",
      action: "present",
      exchanges: [],
      expect: [`"www.example.com/.." can't be the zone of "${NAME}"`],
    },
    {
      name: `${provider} is given a zone that the name isn't in`,
      why: "zone not found",
      provider,
      zone: "example.org",
      action: "present",
      exchanges: [],
      expect: [`"${NAME}" is not in the zone "example.org"`],
    },
  ]),
];

// ---- porkbun

function porkbun(path: string, json: object, answer: string | object, status = 200): Exchange {
  const url = `https://api.porkbun.com/api/json/v3/dns/${path}`;
  const body = JSON.stringify({ apikey: "pk1_0123", secretapikey: "sk1_4567", ...json });
  const fields = ["Content-Type", "application/json"];
  return { request: { method: "POST", url, fields, body }, status, answer };
}

const P_LIST = "retrieveByNameType/example.com/TXT/_acme-challenge.www";
const P_DONE = { status: "SUCCESS" };
const pRecord = (id: unknown, content: string) => ({
  ...{ id, name: NAME, type: "TXT", content, ttl: "300", prio: "0", notes: "" },
});
const pList = (...records: readonly unknown[]): Exchange =>
  porkbun(P_LIST, {}, { ...P_DONE, cloudflare: "enabled", records });
const P_JSON = { name: "_acme-challenge.www", type: "TXT", content: VALUE, ttl: "300" };
const pRefused = (message: string) => ({ status: "ERROR", message });

const porkbunRows: readonly ServiceRow[] = [
  {
    name: "porkbun adds a value beside another",
    why: "both values of a name and its wildcard are there at once",
    provider: "porkbun",
    action: "present",
    exchanges: [
      pList(pRecord("106926651", OTHER)),
      porkbun("create/example.com", P_JSON, { ...P_DONE, id: 106926652 }),
    ],
  },
  {
    name: "porkbun's own name of a domain is empty",
    why: "a delegated name may be the domain itself",
    provider: "porkbun",
    env: { PORKBUN_TTL: "600" },
    record: "example.com",
    action: "present",
    exchanges: [
      porkbun("retrieveByNameType/example.com/TXT", {}, { ...P_DONE, records: [] }),
      porkbun("create/example.com", { ...P_JSON, name: "", ttl: "600" }, { ...P_DONE, id: "1" }),
    ],
  },
  {
    name: "porkbun leaves a value that is there",
    why: "an order that was broken off left it",
    provider: "porkbun",
    action: "present",
    exchanges: [pList(pRecord("106926652", VALUE))],
  },
  {
    name: "porkbun deletes the one record",
    why: "the other values aren't ours",
    provider: "porkbun",
    action: "cleanUp",
    exchanges: [
      pList(pRecord("106926651", OTHER), pRecord(106926652, `"${VALUE}"`)),
      porkbun("delete/example.com/106926652", {}, P_DONE),
    ],
  },
  {
    name: "porkbun has nothing to clean up",
    why: "a value that isn't there is no error",
    provider: "porkbun",
    action: "cleanUp",
    exchanges: [pList(pRecord("106926651", OTHER), { ...pRecord("1", VALUE), type: "A" })],
  },
  {
    name: "porkbun finds a record gone when it deletes it",
    why: "someone else was faster; 400 may be that",
    provider: "porkbun",
    action: "cleanUp",
    exchanges: [
      pList(pRecord("106926652", VALUE)),
      porkbun("delete/example.com/106926652", {}, pRefused("Invalid record ID."), 400),
      pList(),
    ],
  },
  {
    name: "porkbun can't delete a record",
    why: "it is still there",
    provider: "porkbun",
    action: "cleanUp",
    exchanges: [
      pList(pRecord("106926652", VALUE)),
      porkbun("delete/example.com/106926652", {}, pRefused("Some reason"), 400),
      pList(pRecord("106926652", VALUE)),
    ],
    expect: ["Porkbun refused the request (400)", "Some reason"],
  },
  ...[400, 401, 403].map((status): ServiceRow => ({
    name: `porkbun refuses the keys with ${status}`,
    why: "the message says what is needed, and nothing of the keys",
    provider: "porkbun",
    action: "present",
    exchanges: [porkbun(P_LIST, {}, pRefused("Invalid API key pk1_0123. (001)"), status)],
    expect: [
      `(${status}): the keys must be right, and API access switched on for the domain example.com`,
      "Invalid API key (hidden). (001)",
    ],
  })),
  ...[429, 503].map((status): ServiceRow => ({
    name: `porkbun is asked too often, and says ${status}`,
    why: "it uses both",
    provider: "porkbun",
    action: "present",
    exchanges: [porkbun(P_LIST, {}, "<html>wait</html>", status)],
    expect: [`(${status}): it is asked too often; it says "<html>wait</html>"`],
  })),
  ...[pRefused("no"), {}, "[]", '"SUCCESS"'].map((answer): ServiceRow => ({
    name: `porkbun sends ${JSON.stringify(answer)}`,
    why: "malformed, or an error with status 200",
    provider: "porkbun",
    action: "present",
    exchanges: [porkbun(P_LIST, {}, answer)],
    expect: ["Porkbun sent something else than the status SUCCESS expected"],
  })),
  {
    name: "porkbun sends no list",
    why: "malformed",
    provider: "porkbun",
    action: "present",
    exchanges: [porkbun(P_LIST, {}, { ...P_DONE, records: "none" })],
    expect: ["Porkbun sent something else than the list of records expected"],
  },
  ...["", "1/../../delete", -1, 1.5, null].map((id): ServiceRow => ({
    name: `porkbun sends ${JSON.stringify(id)} for an id`,
    why: "it would get into a path",
    provider: "porkbun",
    action: "cleanUp",
    exchanges: [pList(pRecord(id, VALUE))],
    expect: ["Porkbun sent something else than the id expected"],
  })),
];

// ---- route53

const AWS = "https://route53.amazonaws.com/2013-04-01/";
const XMLNS = 'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"';
const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>';
/** When the tests' requests are signed. */
export const SIGNED_AT = Date.UTC(2026, 10, 22, 20, 15, 0);

interface AwsOptions {
  readonly status?: number;
  readonly body?: string;
  readonly signature?: string;
  readonly scope?: string;
  readonly token?: string;
  readonly base?: string;
}

function route53(method: string, path: string, answer: string, more: AwsOptions = {}): Exchange {
  const { status = 200, body, signature = "*", token, base = AWS } = more;
  const { scope = "us-east-1" } = more;
  const type = body === undefined ? [] : ["Content-Type", "application/xml"];
  const extra = token === undefined ? [] : ["X-Amz-Security-Token", token];
  const signed = [
    ...(body === undefined ? [] : ["content-type"]),
    ...["host", "x-amz-date"],
    ...(token === undefined ? [] : ["x-amz-security-token"]),
  ];
  const credential =
    `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/${scope}/route53/aws4_request`;
  const authorization = `${credential}, SignedHeaders=${signed.join(";")}, Signature=${signature}`;
  const fields = [...type, "X-Amz-Date", "20261122T201500Z", ...extra];
  const request = {
    ...{ method, url: base + path, fields: [...fields, "Authorization", authorization] },
    ...(body !== undefined && { body }),
  };
  return { request, status, answer };
}

const xml = (name: string, content: string) =>
  `${DECLARATION}\n<${name} ${XMLNS}>${content}</${name}>`;
const zoneXml = (name: string, id: string, isPrivate: boolean = false) =>
  `<HostedZone>
    <Id>/hostedzone/${id}</Id><Name>${name}.</Name>
    <CallerReference>D2224C5B</CallerReference>
    <Config><Comment>a &amp; b</Comment><PrivateZone>${isPrivate}</PrivateZone></Config>
    <ResourceRecordSetCount>10</ResourceRecordSetCount>
  </HostedZone>`;
const zonesXml = (zones: readonly string[], more: string = "<IsTruncated>false</IsTruncated>") =>
  xml(
    "ListHostedZonesByNameResponse",
    `\n<HostedZones>${zones.join("\n")}</HostedZones>\n${more}<MaxItems>100</MaxItems>\n`,
  );
const AWS_ZONES = "hostedzonesbyname?dnsname=example.com&maxitems=100";
const awsZones = (more: AwsOptions = {}): Exchange =>
  route53("GET", AWS_ZONES, zonesXml([zoneXml("example.com", "ZEXAMPLE1")]), more);
const AWS_SET = `hostedzone/ZEXAMPLE1/rrset?maxitems=1&name=${NAME}&type=TXT`;
const setXml = (values: readonly string[], ttl: string = "300", extra: string = "") =>
  `<ResourceRecordSet><Name>${NAME}.</Name><Type>TXT</Type>${extra}<TTL>${ttl}</TTL>` +
  `<ResourceRecords>${
    values.map((value) => `<ResourceRecord><Value>${value}</Value></ResourceRecord>`).join("")
  }</ResourceRecords></ResourceRecordSet>`;
const setsXml = (set: string) =>
  xml(
    "ListResourceRecordSetsResponse",
    `<ResourceRecordSets>${set}</ResourceRecordSets><IsTruncated>true</IsTruncated>` +
      "<MaxItems>1</MaxItems><NextRecordName>z.example.com.</NextRecordName>",
  );
const awsSet = (set: string, more: AwsOptions = {}): Exchange =>
  route53("GET", AWS_SET, setsXml(set), more);
const NEXT_SET = "<ResourceRecordSet><Name>x.example.com.</Name><Type>TXT</Type><TTL>1</TTL>" +
  '<ResourceRecords><ResourceRecord><Value>"x"</Value></ResourceRecord></ResourceRecords>' +
  "</ResourceRecordSet>";

/** One change: values as they are written in the request. */
const changeXml = (action: string, ttl: number, ...values: readonly string[]) =>
  `<Change><Action>${action}</Action><ResourceRecordSet><Name>${NAME}.</Name><Type>TXT</Type>` +
  `<TTL>${ttl}</TTL><ResourceRecords>${
    values.map((value) => `<ResourceRecord><Value>${value}</Value></ResourceRecord>`).join("")
  }</ResourceRecords></ResourceRecordSet></Change>`;
const batchXml = (...changes: readonly string[]) =>
  `${DECLARATION}<ChangeResourceRecordSetsRequest ${XMLNS}><ChangeBatch><Changes>${
    changes.join("")
  }</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`;
const infoXml = (name: string, status: string) =>
  xml(
    name,
    `<ChangeInfo><Id>/change/C2682N5HXP0BZ4</Id><Status>${status}</Status>` +
      "<SubmittedAt>2026-11-22T20:15:00.000Z</SubmittedAt></ChangeInfo>",
  );
const awsChange = (body: string, more: AwsOptions = {}): Exchange =>
  route53(
    "POST",
    "hostedzone/ZEXAMPLE1/rrset",
    infoXml("ChangeResourceRecordSetsResponse", "PENDING"),
    { body, ...more },
  );
const awsState = (status: string, more: AwsOptions = {}): Exchange =>
  route53("GET", "change/C2682N5HXP0BZ4", infoXml("GetChangeResponse", status), more);
const awsError = (exchange: Exchange, status: number, code: string, message: string): Exchange => ({
  ...exchange,
  status,
  answer: xml(
    "ErrorResponse",
    `<Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error>` +
      "<RequestId>b25f48e8</RequestId>",
  ),
});
const conflict = (exchange: Exchange): Exchange => ({
  ...exchange,
  status: 400,
  answer: xml(
    "InvalidChangeBatch",
    "<Messages><Message>Tried to create resource record set but it already exists</Message>" +
      "</Messages><RequestId>b25f48e8</RequestId>",
  ),
});
const OURS = `&#34;${VALUE}&#34;`;
const THEIRS = `&#34;${OTHER}&#34;`;
const CREATE = batchXml(changeXml("CREATE", 10, OURS));
const AWS_ID = { AWS_HOSTED_ZONE_ID: "/hostedzone/ZEXAMPLE1" };
const CN = "https://route53.amazonaws.com.cn/2013-04-01/";

const route53Rows: readonly ServiceRow[] = [
  {
    name: "route53 creates the first value, and waits until it is everywhere",
    why: "the signatures are those of another implementation",
    provider: "route53",
    action: "present",
    exchanges: [
      awsZones({ signature: "c8dd591a89f9fd41d8228a0c16c95e35b7b98d07fe817cb0181d93809700d51c" }),
      awsSet(NEXT_SET, {
        signature: "aa501cd593d6b78afa3e71fbec87eb684f657bb4ac14c7563eadbfbe5dfe3e79",
      }),
      awsChange(CREATE, {
        signature: "097989bd06f352582633a873476181eaaaf401ebc590bee5ee62dfa6432a4010",
      }),
      awsState("PENDING", {
        signature: "9175459ceb9b0f84974c0c0a98d498f1fc4b332a4fb03dc8c32bb25d8565c4b0",
      }),
      awsState("INSYNC"),
    ],
  },
  {
    name: "route53 signs a session's token",
    why: "keys of a role come with one; the signature is that of another implementation",
    provider: "route53",
    env: { ...AWS_ID, AWS_SESSION_TOKEN: "AQoDYXdzEPT//wEXAMPLE==", AWS_REGION: "eu-west-1" },
    action: "cleanUp",
    exchanges: [
      awsSet(NEXT_SET, {
        token: "AQoDYXdzEPT//wEXAMPLE==",
        signature: "b4a0990a6b119e4a1d4315f80dfdeb070938f6547f611f46baa76ee33c7bb64c",
      }),
    ],
  },
  {
    name: "route53 has its own hosts in China",
    why: "keys are of one partition",
    provider: "route53",
    env: { ...AWS_ID, AWS_REGION: "cn-north-1" },
    action: "cleanUp",
    exchanges: [awsSet("", { base: CN, scope: "cn-northwest-1" })],
  },
  {
    name: "route53 adds a value beside others",
    why: "all of it in one step, so that nothing written in between is lost; their TTL stays",
    provider: "route53",
    env: { ...AWS_ID, AWS_TTL: "60", AWS_WAIT_FOR_RECORD_SETS_CHANGED: "false" },
    action: "present",
    exchanges: [
      awsSet(setXml([`&quot;${OTHER}&#x22;`, '"a \\"b\\" &lt;&amp;&gt; \\303\\244" "c"'])),
      awsChange(batchXml(
        changeXml(
          "DELETE",
          300,
          THEIRS,
          "&#34;a \\&#34;b\\&#34; &#60;&#38;&#62; \\303\\244&#34; &#34;c&#34;",
        ),
        changeXml(
          "CREATE",
          300,
          THEIRS,
          "&#34;a \\&#34;b\\&#34; &#60;&#38;&#62; \\303\\244&#34; &#34;c&#34;",
          OURS,
        ),
      )),
    ],
  },
  {
    name: "route53 leaves a value that is there",
    why: "an order that was broken off left it",
    provider: "route53",
    env: AWS_ID,
    action: "present",
    exchanges: [awsSet(setXml([`"${OTHER}"`, `"${VALUE}"`]))],
  },
  {
    name: "route53 takes the one value away",
    why: "the others stay",
    provider: "route53",
    env: AWS_ID,
    action: "cleanUp",
    exchanges: [
      awsSet(setXml([`"${VALUE}"`, `"${OTHER}"`])),
      awsChange(batchXml(
        changeXml("DELETE", 300, OURS, THEIRS),
        changeXml("CREATE", 300, THEIRS),
      )),
    ],
  },
  {
    name: "route53 takes the last value away",
    why: "a set can't be empty",
    provider: "route53",
    env: AWS_ID,
    action: "cleanUp",
    exchanges: [
      awsSet(setXml([`"${VALUE}"`])),
      awsChange(batchXml(changeXml("DELETE", 300, OURS))),
    ],
  },
  {
    name: "route53 has nothing to clean up",
    why: "the list goes on with another name",
    provider: "route53",
    env: AWS_ID,
    action: "cleanUp",
    exchanges: [awsSet(NEXT_SET)],
  },
  {
    name: "route53 has only other values to clean up",
    why: "no error",
    provider: "route53",
    env: AWS_ID,
    action: "cleanUp",
    exchanges: [awsSet(setXml([`"${OTHER}"`]))],
  },
  {
    name: "route53 reads again when another program was faster",
    why: "its value must not be lost",
    provider: "route53",
    env: { ...AWS_ID, AWS_WAIT_FOR_RECORD_SETS_CHANGED: "0" },
    action: "present",
    exchanges: [
      awsSet(NEXT_SET),
      conflict(awsChange(CREATE)),
      awsSet(setXml([`"${OTHER}"`], "10")),
      awsChange(batchXml(
        changeXml("DELETE", 10, THEIRS),
        changeXml("CREATE", 10, THEIRS, OURS),
      )),
    ],
  },
  {
    name: "route53 finds the value gone when it reads again",
    why: "someone else cleaned up",
    provider: "route53",
    env: AWS_ID,
    action: "cleanUp",
    exchanges: [
      awsSet(setXml([`"${VALUE}"`])),
      conflict(awsChange(batchXml(changeXml("DELETE", 300, OURS)))),
      awsSet(NEXT_SET),
    ],
  },
  {
    name: "route53 takes a conflict for one with any status",
    why: "the same request again would meet it again",
    provider: "route53",
    env: AWS_ID,
    action: "present",
    exchanges: [
      awsSet(NEXT_SET),
      { ...conflict(awsChange(CREATE)), status: 500 },
      awsSet(setXml([`"${VALUE}"`])),
    ],
  },
  {
    name: "route53 gives up on conflicts without end",
    why: "it may refuse the change for another reason",
    provider: "route53",
    env: AWS_ID,
    action: "present",
    exchanges: Array.from({ length: 6 }, () => [awsSet(NEXT_SET), conflict(awsChange(CREATE))])
      .flat(),
    expect: [
      "Route 53 refused the request (400 InvalidChangeBatch)",
      "Tried to create resource record set but it already exists",
    ],
  },
  {
    name: "route53 picks the longest public zone",
    why: "a private zone of the same name isn't what a CA sees",
    provider: "route53",
    record: "_acme-challenge.a.www.example.com",
    action: "cleanUp",
    exchanges: [
      route53(
        "GET",
        AWS_ZONES,
        zonesXml([
          zoneXml("example.com", "ZEXAMPLE1"),
          zoneXml("a.example.com", "ZEXAMPLE2"),
          zoneXml("www.example.com", "ZEXAMPLE3", true),
          zoneXml("www.example.com", "ZEXAMPLE4"),
          zoneXml("www.example.com", "ZEXAMPLE5"),
          zoneXml("a.www.example.com", "ZEXAMPLE6", true),
          zoneXml("b.www.example.com", "ZEXAMPLE7"),
        ]),
      ),
      route53(
        "GET",
        "hostedzone/ZEXAMPLE4/rrset?maxitems=1&name=_acme-challenge.a.www.example.com&type=TXT",
        setsXml(""),
      ),
    ],
  },
  {
    name: "route53 picks a private zone when told to",
    why: "lego's AWS_PRIVATE_ZONE",
    provider: "route53",
    env: { AWS_PRIVATE_ZONE: "true" },
    action: "cleanUp",
    exchanges: [
      route53(
        "GET",
        AWS_ZONES,
        zonesXml([zoneXml("example.com", "ZX"), zoneXml("example.com", "ZEXAMPLE1", true)]),
      ),
      awsSet(""),
    ],
  },
  {
    name: "route53 reads all pages of zones below the name",
    why: "the longest may be on the last",
    provider: "route53",
    action: "cleanUp",
    exchanges: [
      route53(
        "GET",
        AWS_ZONES,
        zonesXml(
          [zoneXml("example.com", "ZX")],
          "<IsTruncated>true</IsTruncated><NextDNSName>b+c.example.com.</NextDNSName>" +
            "<NextHostedZoneId>ZNEXT</NextHostedZoneId>",
        ),
      ),
      route53(
        "GET",
        "hostedzonesbyname?dnsname=b%2Bc.example.com.&hostedzoneid=ZNEXT&maxitems=100",
        zonesXml(
          [zoneXml("www.example.com", "ZEXAMPLE1")],
          "<IsTruncated>true</IsTruncated><NextDNSName>xexample.com.</NextDNSName>" +
            "<NextHostedZoneId>ZNEXT</NextHostedZoneId>",
        ),
      ),
      awsSet(""),
    ],
  },
  {
    name: "route53 has no such zone",
    why: "the key is of another account",
    provider: "route53",
    action: "present",
    exchanges: [
      route53(
        "GET",
        AWS_ZONES,
        zonesXml([zoneXml("example.com", "ZX", true), zoneXml("example.org", "ZY")]),
      ),
    ],
    expect: [
      `no public hosted zone of this Route 53 account holds "${NAME}"`,
      "AWS_HOSTED_ZONE_ID",
    ],
  },
  {
    name: "route53 refuses an identity that may not",
    why: "the message names the permissions",
    provider: "route53",
    action: "present",
    exchanges: [
      awsError(awsZones(), 403, "AccessDenied", "User: arn:aws:iam::1:user/x is not authorized"),
    ],
    expect: [
      "Route 53 refused the credentials (403 AccessDenied): the identity needs",
      "route53:ListHostedZonesByName, route53:ListResourceRecordSets, " +
      "route53:ChangeResourceRecordSets (CREATE and DELETE) and route53:GetChange",
      "arn:aws:iam::1:user/x is not authorized",
    ],
  },
  {
    name: "route53 refuses a wrong secret",
    why: "what it says has the request's fields after the first line",
    provider: "route53",
    env: { ...AWS_ID, AWS_SESSION_TOKEN: "session-token" },
    action: "present",
    exchanges: [
      awsError(
        awsSet("", { token: "session-token" }),
        403,
        "SignatureDoesNotMatch",
        "It does not match session-token.\n\nx-amz-security-token:session-token",
      ),
    ],
    expect: [
      "(403 SignatureDoesNotMatch): AWS_SECRET_ACCESS_KEY must belong to AWS_ACCESS_KEY_ID; " +
      'it says "It does not match (hidden)."',
    ],
  },
  {
    name: "route53 refuses a key that ended",
    why: "session tokens do",
    provider: "route53",
    env: AWS_ID,
    action: "cleanUp",
    exchanges: [awsError(awsSet(""), 403, "ExpiredToken", "expired")],
    expect: ["(403 ExpiredToken): AWS_SESSION_TOKEN has ended"],
  },
  {
    name: "route53 is throttled, and asked again",
    why: "five requests a second are allowed",
    provider: "route53",
    env: AWS_ID,
    action: "cleanUp",
    exchanges: [
      awsError(awsSet(""), 400, "Throttling", "Rate exceeded"),
      awsError(awsSet(""), 400, "PriorRequestNotComplete", "The previous one is still there"),
      { ...awsSet(""), status: 429, answer: "" },
      { ...awsSet(""), status: 503, answer: "<html>" },
      awsSet(""),
    ],
  },
  {
    name: "route53 is throttled for too long",
    why: "AWS_MAX_RETRIES is the number of tries, as in lego",
    provider: "route53",
    env: { ...AWS_ID, AWS_MAX_RETRIES: "2" },
    action: "cleanUp",
    exchanges: [
      awsError(awsSet(""), 400, "Throttling", "Rate exceeded"),
      awsError(awsSet(""), 400, "PriorRequestNotComplete", "The previous one is still there"),
    ],
    expect: ['(400 PriorRequestNotComplete); it says "The previous one is still there"'],
  },
  {
    name: "route53 has rate limits of other kinds",
    why: "429 without XML",
    provider: "route53",
    env: { ...AWS_ID, AWS_MAX_RETRIES: "0" },
    action: "cleanUp",
    exchanges: [{ ...awsSet(""), status: 429, answer: "slow down" }],
    expect: ["Route 53 refused the request (429)"],
  },
  {
    name: "route53 never gets a change everywhere",
    why: "as many looks as the time has",
    provider: "route53",
    env: { ...AWS_ID, AWS_PROPAGATION_TIMEOUT: "8" },
    action: "present",
    exchanges: [
      awsSet(""),
      awsChange(CREATE),
      ...[1, 2, 3].map(() => awsState("PENDING")),
    ],
    expect: ["Route 53 still has change C2682N5HXP0BZ4 PENDING"],
  },
  {
    name: "route53 finds values with a routing policy",
    why: "a simple set can't be beside them",
    provider: "route53",
    env: AWS_ID,
    action: "present",
    exchanges: [
      awsSet(setXml([`"${OTHER}"`], "300", "<SetIdentifier>a</SetIdentifier><Weight>1</Weight>")),
    ],
    expect: [`the TXT records of "${NAME}" have a routing policy`],
  },
  ...[setXml(['"x"'], "0x10"), setXml(['"x"'], "-1"), setXml([]), setXml([""])].map((
    set,
    at,
  ): ServiceRow => ({
    name: `route53 sends a set of values that is none, ${at}`,
    why: "what can't be read can't be written back",
    provider: "route53",
    env: AWS_ID,
    action: "present",
    exchanges: [awsSet(set)],
    expect: ["Route 53 sent something else than the values expected"],
  })),
  {
    name: "route53 sends a zone's id that isn't one",
    why: "it would get into a path",
    provider: "route53",
    action: "present",
    exchanges: [route53("GET", AWS_ZONES, zonesXml([zoneXml("example.com", "../../x")]))],
    expect: ["Route 53 sent something else than the id of a hostedzone expected"],
  },
  {
    name: "route53 sends a change's id that isn't one",
    why: "it would get into a path",
    provider: "route53",
    env: AWS_ID,
    action: "present",
    exchanges: [
      awsSet(""),
      {
        ...awsChange(CREATE),
        answer: xml("ChangeResourceRecordSetsResponse", "<ChangeInfo><Id>a/b</Id></ChangeInfo>"),
      },
    ],
    expect: ["Route 53 sent something else than the id of a change expected"],
  },
  ...["", "{}", "<a>", xml("ListResourceRecordSetsResponse", "")].map((answer): ServiceRow => ({
    name: `route53 sends ${JSON.stringify(answer.slice(-40))}`,
    why: "malformed",
    provider: "route53",
    env: AWS_ID,
    action: "present",
    exchanges: [route53("GET", AWS_SET, answer)],
    expect: [
      `Route 53 sent something else than the ${
        answer.length > 10 ? "list of record sets" : "XML"
      } expected`,
    ],
  })),
  {
    name: "route53 goes on about zones without a next one",
    why: "malformed",
    provider: "route53",
    action: "present",
    exchanges: [route53("GET", AWS_ZONES, zonesXml([], "<IsTruncated>true</IsTruncated>"))],
    expect: ["something else than the name of the next zone expected"],
  },
];

export const serviceRows: readonly ServiceRow[] = [
  ...cloudflareRows,
  ...duckdnsRows,
  ...hetznerRows,
  ...porkbunRows,
  ...route53Rows,
];

// ---- what a provider is made from

export interface SettingsRow {
  readonly name: string;
  readonly why: string;
  readonly provider: ServiceRow["provider"];
  /** All of them. */
  readonly env: Readonly<Record<string, string>>;
  /** What the message has, or milliseconds. */
  readonly expect: string | {
    readonly timeout: number;
    readonly interval: number;
    readonly sequential?: boolean;
  };
}

const usual = (
  provider: ServiceRow["provider"],
  timeout: number,
  interval: number,
  sequential: { readonly sequential?: boolean } = {},
): SettingsRow => ({
  name: `${provider} waits as long as lego`,
  why: "lego's defaults",
  provider,
  env: { ...USUAL_ENV[provider], HETZNER_POLLING_INTERVAL: "" },
  expect: { timeout, interval, ...sequential },
});

const lacking = (
  provider: ServiceRow["provider"],
  expect: string,
  env: Readonly<Record<string, string>> = {},
): SettingsRow => ({
  name: `${provider} with ${Object.keys(env).join() || "nothing"}`,
  why: "the message names what lacks",
  provider,
  env,
  expect,
});

export const settingsRows: readonly SettingsRow[] = [
  usual("cloudflare", 120_000, 2_000),
  usual("duckdns", 60_000, 2_000, { sequential: true }),
  usual("hetzner", 60_000, 2_000),
  usual("porkbun", 600_000, 10_000),
  usual("route53", 120_000, 4_000),
  ...([
    ["cloudflare", "CF"],
    ["cloudflare", "CLOUDFLARE"],
    ["duckdns", "DUCKDNS"],
    ["hetzner", "HETZNER"],
    ["porkbun", "PORKBUN"],
    ["route53", "AWS"],
  ] as const).map(([provider, prefix]): SettingsRow => ({
    name: `${provider} reads ${prefix}_…`,
    why: "lego's variables",
    provider,
    env: {
      ...USUAL_ENV[provider],
      [`${prefix}_PROPAGATION_TIMEOUT`]: "30",
      [`${prefix}_POLLING_INTERVAL`]: "7",
    },
    expect: {
      timeout: 30_000,
      interval: 7_000,
      ...(provider === "duckdns" && { sequential: true }),
    },
  })),
  lacking("cloudflare", "CF_DNS_API_TOKEN (or CLOUDFLARE_DNS_API_TOKEN) is not set"),
  lacking("cloudflare", "CF_DNS_API_TOKEN", { CF_API_EMAIL: "a@example.com" }),
  lacking("cloudflare", "invalid CLOUDFLARE_TTL 60: Cloudflare takes 120 or more", {
    CF_DNS_API_TOKEN: "x",
    CLOUDFLARE_TTL: "60",
  }),
  lacking("cloudflare", 'invalid CLOUDFLARE_BASE_URL "ftp://x": expected https://api.cloudflare', {
    CF_DNS_API_TOKEN: "x",
    CLOUDFLARE_BASE_URL: "ftp://x",
  }),
  lacking("duckdns", "DUCKDNS_TOKEN is not set"),
  lacking("hetzner", "HETZNER_API_TOKEN is not set"),
  lacking(
    "hetzner",
    "HETZNER_API_KEY is for dns.hetzner.com, which is gone: set HETZNER_API_TOKEN",
    {
      HETZNER_API_KEY: "x",
    },
  ),
  lacking("hetzner", "invalid HETZNER_TTL 59: Hetzner takes 60 or more", {
    HETZNER_API_TOKEN: "x",
    HETZNER_TTL: "59",
  }),
  lacking("porkbun", "PORKBUN_SECRET_API_KEY is not set", { PORKBUN_API_KEY: "x" }),
  lacking("porkbun", "PORKBUN_API_KEY is not set", { PORKBUN_SECRET_API_KEY: "x" }),
  lacking("porkbun", "invalid PORKBUN_TTL 299: Porkbun takes 300 or more", {
    ...USUAL_ENV.porkbun,
    PORKBUN_TTL: "299",
  }),
  lacking("route53", "AWS_ACCESS_KEY_ID is not set", { AWS_SECRET_ACCESS_KEY: "x" }),
  lacking("route53", "AWS_SECRET_ACCESS_KEY is not set", { AWS_ACCESS_KEY_ID: "x" }),
  lacking("route53", '"/nowhere/credentials" (AWS_SHARED_CREDENTIALS_FILE)', {
    AWS_SHARED_CREDENTIALS_FILE: "/nowhere/credentials",
  }),
  lacking("route53", "AWS_ASSUME_ROLE_ARN isn't supported", {
    ...USUAL_ENV.route53,
    AWS_ASSUME_ROLE_ARN: "arn:aws:iam::1:role/x",
  }),
  lacking("route53", 'invalid AWS_HOSTED_ZONE_ID "a/b": expected', {
    ...USUAL_ENV.route53,
    AWS_HOSTED_ZONE_ID: "a/b",
  }),
  lacking("route53", 'invalid AWS_PRIVATE_ZONE "yes": expected true or false', {
    ...USUAL_ENV.route53,
    AWS_PRIVATE_ZONE: "yes",
  }),
];

// ---- AWS Signature Version 4

export interface SignatureRow {
  readonly name: string;
  readonly why: string;
  readonly method: string;
  readonly path?: string;
  readonly query?: readonly (readonly [string, string])[];
  readonly fields?: readonly string[];
  readonly body?: string;
  readonly token?: string;
  /** SignedHeaders and Signature. */
  readonly expect: readonly [string, string];
}

const UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** AWS's public suite: AKIDEXAMPLE, 20150830T123600Z, us-east-1, service, example.amazonaws.com. */
export const signatureRows: readonly SignatureRow[] = [
  {
    name: "get-vanilla",
    why: "nothing but the date",
    method: "GET",
    expect: ["host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
  },
  {
    name: "get-unreserved",
    why: "a path",
    method: "GET",
    path: UNRESERVED,
    expect: ["host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"],
  },
  {
    name: "get-header-value-trim",
    why: "spaces are one space",
    method: "GET",
    fields: ["My-Header1", " value1", "My-Header2", ' "a   b   c"'],
    expect: [
      "host;my-header1;my-header2;x-amz-date",
      "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ],
  },
  {
    name: "get-vanilla-query-order-key-case",
    why: "sorted",
    method: "GET",
    query: [["Param2", "value2"], ["Param1", "value1"]],
    expect: ["host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"],
  },
  {
    name: "get-vanilla-query-unreserved",
    why: "not encoded",
    method: "GET",
    query: [[UNRESERVED, UNRESERVED]],
    expect: ["host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"],
  },
  {
    name: "get-vanilla-utf8-query",
    why: "encoded as UTF-8",
    method: "GET",
    query: [["ሴ", "bar"]],
    expect: ["host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"],
  },
  {
    name: "post-vanilla-query-nonunreserved",
    why: "encoded, all of it",
    method: "POST",
    query: [["@#$%^", ""], ["+", '/,?><`";:\\|][{}']],
    expect: ["host;x-amz-date", "66c82657c86e26fb25238d0e69f011edc4c6df5ae71119d7cb98ed9b87393c1e"],
  },
  {
    name: "post-vanilla",
    why: "no body",
    method: "POST",
    expect: ["host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"],
  },
  {
    name: "post-vanilla-query",
    why: "a query",
    method: "POST",
    query: [["Param1", "value1"]],
    expect: ["host;x-amz-date", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"],
  },
  {
    name: "post-header-value-case",
    why: "values keep their case",
    method: "POST",
    fields: ["My-Header1", "VALUE1"],
    expect: [
      "host;my-header1;x-amz-date",
      "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ],
  },
  {
    name: "post-x-www-form-urlencoded",
    why: "a body",
    method: "POST",
    fields: ["Content-Type", "application/x-www-form-urlencoded"],
    body: "Param1=value1",
    expect: [
      "content-type;host;x-amz-date",
      "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ],
  },
  {
    name: "post-sts-header-before",
    why: "a session's token is signed",
    method: "POST",
    token: "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMic" +
      "RXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKs" +
      "burEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0" +
      "iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
    expect: [
      "host;x-amz-date;x-amz-security-token",
      "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ],
  },
];

// ---- XML

export interface XmlRow {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  /** `[name, text or elements]`; undefined when it is refused. */
  readonly expect: XmlTree | undefined;
}
export type XmlTree = readonly [name: string, content: string | readonly XmlTree[]];

export const xmlRows: readonly XmlRow[] = [
  {
    name: "elements, attributes, empty ones",
    why: "what the service sends",
    input: `\uFEFF${DECLARATION}\r\n<a x="1" xmlns:b="2 &gt;" >\n <b>t</b><c /><d x="y"/>\n</a>\n`,
    expect: ["a", [["b", "t"], ["c", ""], ["d", ""]]],
  },
  {
    name: "entities",
    why: "values of TXT records have quotes",
    input: "<a>&lt;&gt;&amp;&quot;&apos;&#34;&#x22;&#xe4;&#128512;&amp;lt;</a>",
    expect: ["a", '<>&"\'""ä😀&lt;'],
  },
  ...[
    ["a document type", '<!DOCTYPE a [<!ENTITY x "y">]><a>t</a>'],
    ["a document type inside", '<a><!DOCTYPE a [<!ENTITY x "y">]></a>'],
    ["CDATA", "<a><![CDATA[t]]></a>"],
    ["a comment", "<a><!-- t --></a>"],
    ["an instruction", "<a><?php t ?></a>"],
    ["an entity of its own", "<a>&x;</a>"],
    ["an entity from an object", "<a>&constructor;</a>"],
    ["an ampersand", "<a>a & b</a>"],
    ["an entity that doesn't end", "<a>&amp</a>"],
    ["a number too large", "<a>&#1114112;</a>"],
    ["a number with a sign", "<a>&#-1;</a>"],
    ["a number without digits", "<a>&#;</a>"],
    ["a wrong end", "<a><b></a></b>"],
    ["no end", "<a><b></b>"],
    ["an end too many", "<a></a></a>"],
    ["an end only", "</a>"],
    ["a comment after", "<a></a><!-- t -->"],
    ["two roots", "<a></a><b></b>"],
    ["text before", "t<a></a>"],
    ["text after", "<a></a>t"],
    ["a name with a space before", "< a></a>"],
    ["an attribute without quotes", "<a b=c></a>"],
    ["an attribute with <", '<a b="<"></a>'],
    ["an attribute without a space", '<a b="c"d="e"></a>'],
    ["a tag that doesn't end", "<a"],
    ["nothing", ""],
    ["JSON", '{"a":1}'],
    ["depth", "<a>".repeat(17) + "</a>".repeat(17)],
    ["length", `<a>${" ".repeat(1024 * 1024)}</a>`],
  ].map(([name, input]): XmlRow => ({ name, why: "refused", input, expect: undefined })),
];
