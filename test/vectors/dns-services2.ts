/**
 * What the providers ovh, digitalocean, desec, gandi and ionos say to their services and make of the
 * answers. Each row is a whole conversation: a request that isn't in it fails, as does one left over.
 */

export const NAME = "_acme-challenge.www.example.com";
export const VALUE = "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336eUOQZo";
const OTHER = "AnotherOrdersValueThatMustStayWhereItIs_123";

/** A request and its answer. Fields are flat and compared as they are; so is the body. */
export interface Exchange {
  readonly asks: readonly [method: string, url: string, body?: unknown];
  /** Instead of the row's. */
  readonly fields?: readonly string[];
  readonly status?: number;
  readonly answer?: unknown;
  readonly answerFields?: readonly string[];
}

export interface Vector {
  readonly name: string;
  readonly why: string;
  readonly provider: "ovh" | "digitalocean" | "desec" | "gandi" | "ionos";
  readonly env?: Readonly<Record<string, string>>;
  /** What all requests of the row carry. */
  readonly fields: readonly string[];
  readonly input: readonly ("present" | "cleanUp")[];
  readonly talk: readonly Exchange[];
  /** Parts of the message of the last step; undefined when all goes well. */
  readonly expect: readonly string[] | undefined;
  /** Instead of example.com; undefined when there is none. */
  readonly zone?: string | undefined;
  /** Seconds that were waited, in order. */
  readonly waits?: readonly number[];
}

type Row = Omit<Vector, "provider" | "env" | "fields"> & Partial<Vector>;

// ---- DigitalOcean

const doRecords = "https://api.digitalocean.com/v2/domains/example.com/records";
const doFind = ["GET", `${doRecords}?type=TXT&name=${NAME}&per_page=200`] as const;
const doRecord = (id: unknown, data: string, name = "_acme-challenge.www") => ({
  id,
  type: "TXT",
  name,
  data,
  ttl: 30,
});
const doList = (...domain_records: unknown[]) => ({ domain_records, meta: { total: 1 } });
const doCreate = ["POST", doRecords, {
  type: "TXT",
  name: "_acme-challenge.www",
  data: VALUE,
  ttl: 30,
}] as const;

const digitalocean: readonly Row[] = [
  {
    name: "adds a value beside another",
    why: "a name and its wildcard are proved at once",
    input: ["present"],
    talk: [
      { asks: doFind, answer: doList(doRecord(1, OTHER)) },
      { asks: doCreate, status: 201, answer: { domain_record: doRecord(2, VALUE) } },
    ],
    expect: undefined,
  },
  {
    name: "a value that is there already",
    why: "present() again is no error and makes no second record",
    input: ["present"],
    talk: [{ asks: doFind, answer: doList(doRecord(2, VALUE)) }],
    expect: undefined,
  },
  {
    name: "another service's URL, TTL and the zone itself",
    why: "DO_API_URL, DO_TTL; a delegated name may be the zone",
    env: { DO_API_URL: "https://proxy.test/do/", DO_TTL: "60" },
    zone: NAME,
    input: ["present"],
    talk: [
      {
        asks: [
          "GET",
          `https://proxy.test/do/v2/domains/${NAME}/records?type=TXT&name=${NAME}&per_page=200`,
        ],
        answer: doList(),
      },
      {
        asks: ["POST", `https://proxy.test/do/v2/domains/${NAME}/records`, {
          type: "TXT",
          name: "@",
          data: VALUE,
          ttl: 60,
        }],
        status: 201,
        answer: {},
      },
    ],
    expect: undefined,
  },
  {
    name: "takes that value away and no other",
    why: "found by name and value",
    input: ["cleanUp"],
    talk: [
      {
        asks: doFind,
        answer: doList(
          doRecord(1, OTHER),
          doRecord(2, VALUE),
          doRecord(3, VALUE, "_acme-challenge"),
          { ...doRecord(4, VALUE), type: "CNAME" },
        ),
      },
      { asks: ["DELETE", `${doRecords}/2`], status: 204 },
    ],
    expect: undefined,
  },
  {
    name: "takes away what is gone",
    why: "no error, whether it was gone before or went just now",
    input: ["cleanUp", "cleanUp"],
    talk: [
      { asks: doFind, answer: doList() },
      { asks: doFind, answer: doList(doRecord(2, VALUE)) },
      { asks: ["DELETE", `${doRecords}/2`], status: 404, answer: { id: "not_found" } },
    ],
    expect: undefined,
  },
  {
    name: "a refused token",
    why: "the message names the variable and the scopes, and never the token",
    input: ["present"],
    talk: [{ asks: doFind, status: 401, answer: { id: "unauthorized", message: "no do-secret" } }],
    expect: ["DigitalOcean refused the token (DO_AUTH_TOKEN) (401)", "domain:read", "no (hidden)"],
  },
  {
    name: "too many requests",
    why: "said as it is",
    input: ["present"],
    talk: [{ asks: doFind, status: 429, answer: { message: "API Rate limit exceeded." } }],
    expect: ["DigitalOcean refused the request (429)", "API Rate limit exceeded."],
  },
  {
    name: "a zone of another account",
    why: "404 is about the domain",
    input: ["present"],
    talk: [{ asks: doFind, status: 404, answer: { id: "not_found", message: "no domain" } }],
    expect: ["example.com is no domain of this account"],
  },
  {
    name: "no zone at all",
    why: "what zoneOf() says is passed on",
    zone: undefined,
    input: ["cleanUp"],
    talk: [],
    expect: ["no SOA"],
  },
  {
    name: "a zone that is none",
    why: "it would get into the URL",
    zone: "../../v2/droplets",
    input: ["present"],
    talk: [],
    expect: ["can't be the zone of"],
  },
  {
    name: "an id that is a path",
    why: "it would get into the URL",
    input: ["cleanUp"],
    talk: [{ asks: doFind, answer: doList(doRecord("2/../../../droplets", VALUE)) }],
    expect: ["DigitalOcean sent something else than the id expected"],
  },
  {
    name: "an answer of another shape",
    why: "no list of records",
    input: ["cleanUp"],
    talk: [{ asks: doFind, answer: { domain_records: { length: 1 } } }],
    expect: ["DigitalOcean sent something else than the list of records expected"],
  },
  {
    name: "records of other shapes",
    why: "what isn't a record isn't ours",
    input: ["cleanUp"],
    talk: [{ asks: doFind, answer: doList(null, 7, [], { type: "TXT" }, { data: VALUE }) }],
    expect: undefined,
  },
  {
    name: "no JSON",
    why: "a page of an intermediary",
    input: ["present"],
    talk: [{ asks: doFind, answer: "<html>maintenance</html>" }],
    expect: ["DigitalOcean answered 200, but not with JSON", "maintenance"],
  },
];

// ---- deSEC

const desecApi = "https://desec.io/api/v1/domains/";
const desecSet = `${desecApi}example.com/rrsets/_acme-challenge.www/TXT/`;
const desecDomain: Exchange = {
  asks: ["GET", `${desecApi}?owns_qname=${NAME}`],
  answer: [{ name: "example.com", minimum_ttl: 3600 }],
};
const desecRead = (...records: unknown[]): Exchange => ({
  asks: ["GET", desecSet],
  answer: { subname: "_acme-challenge.www", type: "TXT", ttl: 3600, records },
});
const desecNone: Exchange = { asks: ["GET", desecSet], status: 404, answer: { detail: "none" } };
const desecPost = (ttl: number): Exchange => ({
  asks: ["POST", `${desecApi}example.com/rrsets/`, {
    subname: "_acme-challenge.www",
    type: "TXT",
    ttl,
    records: [`"${VALUE}"`],
  }],
  status: 201,
  answer: {},
});
const desecPatch = (...records: string[]): Exchange => ({
  asks: ["PATCH", desecSet, { records }],
  answer: {},
});
const later = (seconds: string): Partial<Exchange> => ({
  status: 429,
  answer: { detail: "Request was throttled." },
  answerFields: ["Retry-After", seconds],
});

const desec: readonly Row[] = [
  {
    name: "adds the first value",
    why: "a name without values is made",
    input: ["present"],
    talk: [desecDomain, desecNone, desecPost(3600)],
    expect: undefined,
  },
  {
    name: "adds a value beside another",
    why: "the others are written back",
    input: ["present"],
    talk: [desecDomain, desecRead(`"${OTHER}"`), desecPatch(`"${OTHER}"`, `"${VALUE}"`)],
    expect: undefined,
  },
  {
    name: "a value that is there already",
    why: "present() again writes nothing",
    input: ["present"],
    talk: [desecDomain, desecRead(`"${OTHER}"`, `"${VALUE}"`)],
    expect: undefined,
  },
  {
    name: "a TTL below the domain's least",
    why: "the service would refuse it",
    env: { DESEC_TTL: "60" },
    input: ["present"],
    talk: [desecDomain, desecNone, desecPost(3600)],
    expect: undefined,
  },
  {
    name: "a domain that allows less",
    why: "the least is the domain's, not ours",
    env: { DESEC_TTL: "120" },
    input: ["present"],
    talk: [
      { ...desecDomain, answer: [{ name: "example.com", minimum_ttl: 60 }] },
      desecNone,
      desecPost(120),
    ],
    expect: undefined,
  },
  {
    name: "a least TTL that is none",
    why: "3600 then, whatever was sent",
    env: { DESEC_TTL: "120" },
    input: ["present"],
    talk: [
      { ...desecDomain, answer: [{ name: "example.com", minimum_ttl: "1e9" }] },
      desecNone,
      desecPost(3600),
    ],
    expect: undefined,
  },
  {
    name: "the domain itself",
    why: "it is @ in a path and empty in a set",
    input: ["present"],
    talk: [
      { ...desecDomain, answer: [{ name: NAME, minimum_ttl: 3600 }] },
      { asks: ["GET", `${desecApi}${NAME}/rrsets/@/TXT/`], status: 404 },
      {
        asks: ["POST", `${desecApi}${NAME}/rrsets/`, {
          subname: "",
          type: "TXT",
          ttl: 3600,
          records: [`"${VALUE}"`],
        }],
        status: 201,
        answer: {},
      },
    ],
    expect: undefined,
  },
  {
    name: "takes that value away and no other",
    why: "the others are written back",
    input: ["cleanUp"],
    talk: [desecDomain, desecRead(`"${VALUE}"`, `"${OTHER}"`), desecPatch(`"${OTHER}"`)],
    expect: undefined,
  },
  {
    name: "takes the last value away",
    why: "a set without records is deleted; 204 has no content",
    input: ["cleanUp"],
    talk: [desecDomain, desecRead(`"${VALUE}"`), {
      asks: ["PATCH", desecSet, { records: [] }],
      status: 204,
    }],
    expect: undefined,
  },
  {
    name: "takes away what is gone",
    why: "no error: no set, no such value, or gone since it was read",
    input: ["cleanUp", "cleanUp", "cleanUp"],
    talk: [
      ...[desecDomain, desecNone],
      ...[desecDomain, desecRead(`"${OTHER}"`)],
      ...[desecDomain, desecRead(`"${VALUE}"`)],
      { asks: ["PATCH", desecSet, { records: [] }], status: 404, answer: { detail: "Not found." } },
    ],
    expect: undefined,
  },
  {
    name: "a refused token",
    why: "the message names the variable",
    input: ["present"],
    talk: [{ ...desecDomain, status: 401, answer: { detail: "Invalid token." } }],
    expect: ["deSEC refused the token (DESEC_TOKEN) (401)", "write RRsets", "Invalid token."],
  },
  {
    name: "a short wait",
    why: "429 says how long: 15 changes a minute",
    input: ["present"],
    talk: [
      desecDomain,
      { ...desecNone, ...later("2") },
      desecNone,
      { ...desecPost(3600), ...later("42") },
      { ...desecPost(3600), ...later("1") },
      desecPost(3600),
    ],
    waits: [2, 42, 1],
    expect: undefined,
  },
  {
    name: "a long wait",
    why: "the day's limit: hours are not waited",
    input: ["present"],
    talk: [desecDomain, desecNone, { ...desecPost(3600), ...later("79200") }],
    waits: [],
    expect: ["deSEC refused the request (429)", "300 changes of a domain a day", "throttled"],
  },
  {
    name: "waits that never end",
    why: "no more than 90 seconds in all",
    input: ["present"],
    talk: Array.from({ length: 3 }, () => ({ ...desecDomain, ...later("40") })),
    waits: [40, 40],
    expect: ["(429)"],
  },
  {
    name: "429 without a time",
    why: "not repeated blindly",
    input: ["present"],
    talk: [{ ...desecDomain, ...later("soon") }],
    waits: [],
    expect: ["(429)"],
  },
  {
    name: "a name in no domain",
    why: "an empty list",
    input: ["present"],
    talk: [{ ...desecDomain, answer: [] }],
    expect: [`no domain of this account at deSEC holds ${NAME}`],
  },
  {
    name: "another domain",
    why: "an answer to something else",
    input: ["present"],
    talk: [{ ...desecDomain, answer: [{ name: "example.net" }] }],
    expect: ["is not in the zone"],
  },
  {
    name: "a domain that is a path",
    why: "it would get into the URL",
    input: ["present"],
    talk: [{ ...desecDomain, answer: [{ name: "../../auth" }] }],
    expect: ["deSEC sent something else than the domain name expected"],
  },
  {
    name: "a list that is none",
    why: "hostile",
    input: ["present"],
    talk: [{ ...desecDomain, answer: { 0: { name: "example.com" }, length: 1 } }],
    expect: ["deSEC sent something else than the list of domains expected"],
  },
  {
    name: "a value that can't be read",
    why: "writing back without it would delete it",
    input: ["present"],
    talk: [desecDomain, desecRead(`"${OTHER}"`, 7)],
    expect: ["deSEC sent something else than the records expected"],
  },
  {
    name: "a set without records",
    why: "there is no such set: it is not taken for an empty one",
    input: ["present"],
    talk: [desecDomain, { asks: ["GET", desecSet], answer: {} }],
    expect: ["deSEC sent something else than the records expected"],
  },
];

// ---- Gandi

const gandiSet =
  "https://api.gandi.net/v5/livedns/domains/example.com/records/_acme-challenge.www/TXT";
const gandiRead = (...rrset_values: unknown[]): Exchange => ({
  asks: ["GET", gandiSet],
  answer: { rrset_name: "_acme-challenge.www", rrset_type: "TXT", rrset_ttl: 300, rrset_values },
});
const gandiNone: Exchange = {
  asks: ["GET", gandiSet],
  status: 404,
  answer: { code: 404, message: "Can't find the DNS record", object: "dns-record" },
};
const gandiPut = (rrset_ttl: number, ...rrset_values: string[]): Exchange => ({
  asks: ["PUT", gandiSet, { rrset_ttl, rrset_values }],
  status: 201,
  answer: { message: "DNS Record Created" },
});

const gandi: readonly Row[] = [
  {
    name: "adds the first value",
    why: "404 is a name without values",
    input: ["present"],
    talk: [gandiNone, gandiPut(300, `"${VALUE}"`)],
    expect: undefined,
  },
  {
    name: "adds a value beside another",
    why: "the others are written back",
    input: ["present"],
    talk: [gandiRead(`"${OTHER}"`), gandiPut(300, `"${OTHER}"`, `"${VALUE}"`)],
    expect: undefined,
  },
  {
    name: "a value that is there already",
    why: "present() again writes nothing, with quotes or without",
    input: ["present", "present"],
    talk: [gandiRead(`"${OTHER}"`, `"${VALUE}"`), gandiRead(VALUE)],
    expect: undefined,
  },
  {
    name: "an API key and a TTL",
    why: "GANDIV5_API_KEY has a scheme of its own",
    env: { GANDIV5_PERSONAL_ACCESS_TOKEN: "", GANDIV5_API_KEY: "old-secret", GANDIV5_TTL: "600" },
    fields: ["Authorization", "Apikey old-secret"],
    input: ["present"],
    talk: [gandiNone, gandiPut(600, `"${VALUE}"`)],
    expect: undefined,
  },
  {
    name: "a TTL that is too short",
    why: "the service would refuse it",
    env: { GANDIV5_TTL: "60" },
    input: ["present"],
    talk: [gandiNone, gandiPut(300, `"${VALUE}"`)],
    expect: undefined,
  },
  {
    name: "the domain itself",
    why: "it is @",
    zone: NAME,
    input: ["cleanUp"],
    talk: [{
      asks: ["GET", `https://api.gandi.net/v5/livedns/domains/${NAME}/records/@/TXT`],
      status: 404,
    }],
    expect: undefined,
  },
  {
    name: "takes that value away and no other",
    why: "the others are written back",
    input: ["cleanUp"],
    talk: [gandiRead(`"${VALUE}"`, `"${OTHER}"`), gandiPut(300, `"${OTHER}"`)],
    expect: undefined,
  },
  {
    name: "takes the last value away",
    why: "an empty set is deleted",
    input: ["cleanUp"],
    talk: [gandiRead(`"${VALUE}"`), { asks: ["DELETE", gandiSet], status: 204 }],
    expect: undefined,
  },
  {
    name: "takes away what is gone",
    why: "no error: no set, no such value, or gone since it was read",
    input: ["cleanUp", "cleanUp", "cleanUp"],
    talk: [
      gandiNone,
      gandiRead(`"${OTHER}"`),
      gandiRead(`"${VALUE}"`),
      { asks: ["DELETE", gandiSet], status: 404, answer: {} },
    ],
    expect: undefined,
  },
  {
    name: "a refused token",
    why: "the message names the variable and the permission",
    input: ["present"],
    talk: [{ ...gandiNone, status: 403, answer: { message: "Access was denied" } }],
    expect: [
      "Gandi refused the token (GANDIV5_PERSONAL_ACCESS_TOKEN) (403)",
      "it needs the permission",
      "Access was denied",
    ],
  },
  {
    name: "too many requests",
    why: "said as it is",
    input: ["present"],
    talk: [{ ...gandiNone, status: 429, answer: { message: "1000 requests a minute" } }],
    expect: ["Gandi refused the request (429)", "1000 requests a minute"],
  },
  {
    name: "a domain of another account",
    why: "reading can't tell, writing does",
    input: ["present"],
    talk: [gandiNone, { ...gandiPut(300, `"${VALUE}"`), status: 404, answer: {} }],
    expect: ["example.com is no domain of this account in LiveDNS"],
  },
  {
    name: "no zone at all",
    why: "what zoneOf() says is passed on",
    zone: undefined,
    input: ["present"],
    talk: [],
    expect: ["no SOA"],
  },
  {
    name: "a zone that is a path",
    why: "it would get into the URL",
    zone: "..",
    input: ["present"],
    talk: [],
    expect: ["can't be the zone of"],
  },
  {
    name: "a value that can't be read",
    why: "writing back without it would delete it",
    input: ["present"],
    talk: [gandiRead(`"${OTHER}"`, null)],
    expect: ["Gandi sent something else than the records expected"],
  },
  {
    name: "an answer of another shape",
    why: "not taken for an empty set",
    input: ["present"],
    talk: [{ asks: ["GET", gandiSet], answer: [] }],
    expect: ["Gandi sent something else than the records expected"],
  },
];

// ---- IONOS

const ionosApi = "https://api.hosting.ionos.com/dns/v1/zones";
const ionosZone = `${ionosApi}/11af3414-ebba-11e9-8df5-66fbe8a334b4`;
const ionosZones: Exchange = {
  asks: ["GET", ionosApi],
  answer: [
    { name: "example.com", id: "11af3414-ebba-11e9-8df5-66fbe8a334b4", type: "NATIVE" },
    { name: "ww.example.com", id: "b", type: "NATIVE" },
    { name: "example.net", id: "c", type: "NATIVE" },
    { name: "com", id: "a", type: "NATIVE" },
  ],
};
const ionosRecord = (id: string, value: string, name = NAME) => ({
  id,
  name,
  type: "TXT",
  content: `"${value}"`,
  ttl: 300,
  disabled: false,
});
const ionosRead = (...records: unknown[]): Exchange => ({
  asks: ["GET", `${ionosZone}?recordName=${NAME}&recordType=TXT`],
  answer: { id: "11af3414-ebba-11e9-8df5-66fbe8a334b4", name: "example.com", records },
});
const ionosPost = (ttl: number): Exchange => ({
  asks: ["POST", `${ionosZone}/records`, [
    { name: NAME, type: "TXT", content: VALUE, ttl, prio: 0, disabled: false },
  ]],
  status: 201,
  answer: [],
});

const ionos: readonly Row[] = [
  {
    name: "adds a value beside another",
    why: "by POST: the zone with the longest name that holds it",
    input: ["present"],
    talk: [ionosZones, ionosRead(ionosRecord("x-1", OTHER)), ionosPost(300)],
    expect: undefined,
  },
  {
    name: "the first value and a TTL",
    why: "no records at all",
    env: { IONOS_TTL: "900" },
    input: ["present"],
    talk: [ionosZones, { ...ionosRead(), answer: { id: "z" } }, ionosPost(900)],
    expect: undefined,
  },
  {
    name: "a TTL that is too short",
    why: "the service would refuse it",
    env: { IONOS_TTL: "60" },
    input: ["present"],
    talk: [ionosZones, ionosRead(), ionosPost(300)],
    expect: undefined,
  },
  {
    name: "a value that is there already",
    why: "present() again makes no second record",
    input: ["present"],
    talk: [ionosZones, ionosRead(ionosRecord("x-2", VALUE))],
    expect: undefined,
  },
  {
    name: "takes that value away and no other",
    why: "found by name and value",
    input: ["cleanUp"],
    talk: [
      ionosZones,
      ionosRead(
        ionosRecord("x-1", OTHER),
        ionosRecord("x-2", VALUE),
        ionosRecord("x-3", VALUE, "_acme-challenge.example.com"),
        { ...ionosRecord("x-4", VALUE), type: "SPF" },
      ),
      { asks: ["DELETE", `${ionosZone}/records/x-2`] },
    ],
    expect: undefined,
  },
  {
    name: "takes away what is gone",
    why: "no error, whether it was gone before or went just now",
    input: ["cleanUp", "cleanUp"],
    talk: [
      ...[ionosZones, ionosRead()],
      ...[ionosZones, ionosRead(ionosRecord("x-2", VALUE))],
      { asks: ["DELETE", `${ionosZone}/records/x-2`], status: 404, answer: [] },
    ],
    expect: undefined,
  },
  {
    name: "a refused key",
    why: "the message names the variable and its shape; the service answers with a list",
    input: ["present"],
    talk: [{ ...ionosZones, status: 401, answer: [{ code: "UNAUTHORIZED", message: "no key" }] }],
    expect: ["IONOS refused the API key (IONOS_API_KEY) (401)", "prefix, a dot", "no key"],
  },
  {
    name: "too many requests",
    why: "said as it is",
    input: ["present"],
    talk: [{ ...ionosZones, status: 429, answer: [{ code: "X", message: "rate limit" }] }],
    expect: ["IONOS refused the request (429)", "rate limit"],
  },
  {
    name: "a name in no zone",
    why: "a name that only ends alike is another's",
    input: ["present"],
    talk: [{ ...ionosZones, answer: [{ name: "ample.com", id: "a" }, { name: "", id: "b" }] }],
    expect: [`no zone of this account at IONOS holds ${NAME}`],
  },
  {
    name: "a zone id that is a path",
    why: "it would get into the URL",
    input: ["present"],
    talk: [{ ...ionosZones, answer: [{ name: "example.com", id: "../keys" }] }],
    expect: ["IONOS sent something else than the id expected"],
  },
  {
    name: "a record id that is a path",
    why: "it would get into the URL",
    input: ["cleanUp"],
    talk: [ionosZones, ionosRead(ionosRecord("../..", VALUE))],
    expect: ["IONOS sent something else than the id expected"],
  },
  {
    name: "a list of zones that is none",
    why: "hostile",
    input: ["present"],
    talk: [{ ...ionosZones, answer: {} }],
    expect: ["IONOS sent something else than the list of zones expected"],
  },
  {
    name: "a zone of another shape",
    why: "hostile",
    input: ["present"],
    talk: [ionosZones, { ...ionosRead(), answer: [{ id: "z", records: [] }] }],
    expect: ["IONOS sent something else than the zone expected"],
  },
];

// ---- OVH

const ovhApi = "https://eu.api.ovh.com/1.0";
const ovhZone = `${ovhApi}/domain/zone/example.com`;
const ovhFind = ["GET", `${ovhZone}/record?fieldType=TXT&subDomain=_acme-challenge.www`] as const;
const ovhRecord = (id: number, target: string, subDomain = "_acme-challenge.www"): Exchange => ({
  asks: ["GET", `${ovhZone}/record/${id}`],
  answer: { id, fieldType: "TXT", subDomain, target, ttl: 120, zone: "example.com" },
});
const ovhCreate: Exchange = {
  asks: ["POST", `${ovhZone}/record`, {
    fieldType: "TXT",
    subDomain: "_acme-challenge.www",
    target: VALUE,
    ttl: 120,
  }],
  answer: { id: 5106, fieldType: "TXT" },
};
const ovhRefresh: Exchange = { asks: ["POST", `${ovhZone}/refresh`] };
const ovhDelete: Exchange = { asks: ["DELETE", `${ovhZone}/record/5106`] };
const forbidden = { status: 403, answer: { message: "This call has not been granted" } };

const json = ["Accept", "application/json"];
const application = { OVH_ENDPOINT: "ovh-eu", OVH_APPLICATION_KEY: "app-key" };
const signed = {
  ...application,
  OVH_APPLICATION_SECRET: "app-secret",
  OVH_CONSUMER_KEY: "con-key",
};
/** Our clock is at 1700000000; theirs is an hour ahead. */
const ovhTime: Exchange = {
  asks: ["GET", `${ovhApi}/auth/time`],
  fields: json,
  answer: 1700003600,
};
/** Made with `printf %s 'app-secret+con-key+METHOD+URL+BODY+1700003600' | openssl sha1`. */
const signature = (hex: string) => [
  ...[...json, "X-Ovh-Application", "app-key", "X-Ovh-Consumer", "con-key"],
  ...["X-Ovh-Timestamp", "1700003600", "X-Ovh-Signature", `$1$${hex}`],
];
const client = { OVH_ENDPOINT: "ovh-eu", OVH_CLIENT_ID: "id 1", OVH_CLIENT_SECRET: "se&cret" };
const ovhToken: Exchange = {
  asks: [
    "POST",
    "https://www.ovh.com/auth/oauth2/token",
    "grant_type=client_credentials&client_id=id+1&client_secret=se%26cret&scope=all",
  ],
  fields: [...json, "Content-Type", "application/x-www-form-urlencoded"],
  answer: { access_token: "tok-en", token_type: "Bearer", expires_in: 3600, scope: "all" },
};

const ovh: readonly Row[] = [
  {
    name: "adds a value beside another and takes it away",
    why: "the id is remembered; the zone is refreshed after each",
    input: ["present", "present", "cleanUp"],
    talk: [
      { asks: ovhFind, answer: [1] },
      ovhRecord(1, `"${OTHER}"`),
      ovhCreate,
      ovhRefresh,
      ovhRefresh, // the first may have failed
      ovhDelete,
      ovhRefresh,
    ],
    expect: undefined,
  },
  {
    name: "a value that is there already",
    why: "made before a restart; it comes back in quotes",
    input: ["present", "cleanUp"],
    talk: [
      { asks: ovhFind, answer: [5106] },
      ovhRecord(5106, `"${VALUE}"`),
      ovhRefresh,
      ovhDelete,
      ovhRefresh,
    ],
    expect: undefined,
  },
  {
    name: "a key that may only POST and DELETE",
    why: "which is what lego asks people to make",
    input: ["present", "cleanUp"],
    talk: [
      { asks: ovhFind, ...forbidden },
      ovhCreate,
      ovhRefresh,
      ovhDelete,
      ovhRefresh,
    ],
    expect: undefined,
  },
  {
    name: "signed requests",
    why: "with the time of their clock, asked once",
    env: signed,
    input: ["present", "cleanUp"],
    talk: [
      ovhTime,
      { asks: ovhFind, answer: [], fields: signature("421ad86ab103697e72a606b818c0f08d0aa23757") },
      { ...ovhCreate, fields: signature("fa895bd434c09d724db281e598c615f9bd6e044c") },
      { ...ovhRefresh, fields: signature("d4df0d6913a7c4cb1ac8770400d10c7ee897f8df") },
      { ...ovhDelete, fields: signature("c728dc14687d6139daddd772c97e2b56d0aaad92") },
      { ...ovhRefresh, fields: signature("d4df0d6913a7c4cb1ac8770400d10c7ee897f8df") },
    ],
    expect: undefined,
  },
  {
    name: "OAuth2",
    why: "the token is kept while it lasts",
    env: client,
    fields: [...json, "Authorization", "Bearer tok-en"],
    input: ["present", "cleanUp"],
    talk: [ovhToken, { asks: ovhFind, answer: [] }, ovhCreate, ovhRefresh, ovhDelete, ovhRefresh],
    expect: undefined,
  },
  {
    name: "OAuth2 with tokens that are over at once",
    why: "no token is used in its last minute",
    env: client,
    fields: [...json, "Authorization", "Bearer tok-en"],
    input: ["cleanUp"],
    talk: [
      { ...ovhToken, answer: { access_token: "tok-en", expires_in: 60 } },
      { asks: ovhFind, answer: [5106] },
      { ...ovhToken, answer: { access_token: "tok-en" } },
      ovhRecord(5106, OTHER),
    ],
    expect: undefined,
  },
  {
    name: "an endpoint by its URL, a TTL and the zone itself",
    why: "a slash more is dropped; the zone's own name is empty",
    env: { OVH_ENDPOINT: "https://ovh.test/1.0/", OVH_ACCESS_TOKEN: "tok", OVH_TTL: "60" },
    fields: [...json, "Authorization", "Bearer tok"],
    zone: NAME,
    input: ["present"],
    talk: [
      {
        asks: [
          "GET",
          `https://ovh.test/1.0/domain/zone/${NAME}/record?fieldType=TXT&subDomain=`,
        ],
        answer: [],
      },
      {
        asks: ["POST", `https://ovh.test/1.0/domain/zone/${NAME}/record`, {
          fieldType: "TXT",
          subDomain: "",
          target: VALUE,
          ttl: 60,
        }],
        answer: { id: 1 },
      },
      { asks: ["POST", `https://ovh.test/1.0/domain/zone/${NAME}/refresh`] },
    ],
    expect: undefined,
  },
  {
    name: "takes that value away after a restart, and no other",
    why: "found by name and value",
    input: ["cleanUp"],
    talk: [
      { asks: ovhFind, answer: [1, 2, 5106, 4] },
      ovhRecord(1, OTHER),
      ovhRecord(2, VALUE, "_acme-challenge"),
      ovhRecord(5106, VALUE),
      { ...ovhRecord(4, VALUE), status: 404 },
      ovhDelete,
      ovhRefresh,
    ],
    expect: undefined,
  },
  {
    name: "takes away what is gone",
    why: "no error, whether it was gone before or went just now",
    input: ["cleanUp", "cleanUp"],
    talk: [
      { asks: ovhFind, answer: [] },
      { asks: ovhFind, answer: [5106] },
      ovhRecord(5106, VALUE),
      { ...ovhDelete, status: 404, answer: { message: "gone" } },
      ovhRefresh,
    ],
    expect: undefined,
  },
  {
    name: "an id of another shape in the answer to a new record",
    why: "the record is there all the same: it is looked up when it goes",
    input: ["present", "cleanUp"],
    talk: [
      { asks: ovhFind, answer: [] },
      { ...ovhCreate, answer: { id: "5106/../.." } },
      ovhRefresh,
      { asks: ovhFind, answer: ["5106"] },
      ovhRecord(5106, VALUE),
      ovhDelete,
      ovhRefresh,
    ],
    expect: undefined,
  },
  {
    name: "refused keys",
    why: "the message says which rights are needed",
    input: ["present"],
    talk: [{ asks: ovhFind, ...forbidden }, { ...ovhCreate, ...forbidden }],
    expect: [
      "OVH refused the credentials (403)",
      "GET, POST and DELETE on /domain/zone/*",
      "not been granted",
    ],
  },
  {
    name: "keys that may not read, after a restart",
    why: "what can't be looked up can't be taken away",
    input: ["cleanUp"],
    talk: [{ asks: ovhFind, ...forbidden }],
    expect: ["OVH refused the credentials (403)", "GET, POST and DELETE on /domain/zone/*"],
  },
  {
    name: "a refused OAuth2 client",
    why: "the message names the variables, and never the secret",
    env: client,
    input: ["present"],
    talk: [{ ...ovhToken, status: 401, answer: { error_description: "bad se&cret" } }],
    expect: ["OVH refused the client (OVH_CLIENT_ID, OVH_CLIENT_SECRET) (401)", "bad (hidden)"],
  },
  {
    name: "too many requests",
    why: "said as it is",
    input: ["present"],
    talk: [{ asks: ovhFind, status: 429, answer: { message: "Too many requests" } }],
    expect: ["OVH refused the request (429)", "Too many requests"],
  },
  {
    name: "a zone of another account",
    why: "404 is about the zone",
    input: ["present"],
    talk: [{ asks: ovhFind, status: 404, answer: { message: "This service does not exist" } }],
    expect: ["example.com is no zone of this account at https://eu.api.ovh.com/1.0"],
  },
  {
    name: "no zone at all",
    why: "what zoneOf() says is passed on",
    zone: undefined,
    input: ["present"],
    talk: [],
    expect: ["no SOA"],
  },
  {
    name: "a zone that is a path",
    why: "it would get into the URL",
    zone: "../../me",
    input: ["present"],
    talk: [],
    expect: ["can't be the zone of"],
  },
  {
    name: "an id that is a path",
    why: "it would get into the URL",
    input: ["present"],
    talk: [{ asks: ovhFind, answer: ["1/../../../../me"] }],
    expect: ["OVH sent something else than the record id expected"],
  },
  {
    name: "a list without end",
    why: "each id is one request",
    input: ["present"],
    talk: [{ asks: ovhFind, answer: Array.from({ length: 51 }, (_, id) => id) }],
    expect: ["OVH sent something else than the list of records expected"],
  },
  {
    name: "a list that is none",
    why: "hostile",
    input: ["cleanUp"],
    talk: [{ asks: ovhFind, answer: { length: 1 } }],
    expect: ["OVH sent something else than the list of records expected"],
  },
  {
    name: "a time that is none",
    why: "hostile",
    env: signed,
    input: ["present"],
    talk: [{ ...ovhTime, answer: -1 }],
    expect: ["OVH sent something else than the time expected"],
  },
  {
    name: "a token that is none",
    why: "it would get into a field",
    env: client,
    input: ["present"],
    talk: [{ ...ovhToken, answer: { access_token: "a\r\nb", expires_in: 3600 } }],
    expect: ["OVH sent something else than the access token expected"],
  },
];

const SETTINGS = {
  digitalocean: {
    env: { DO_AUTH_TOKEN: "do-secret" },
    fields: ["Authorization", "Bearer do-secret"],
  },
  desec: { env: { DESEC_TOKEN: "desec-secret" }, fields: ["Authorization", "Token desec-secret"] },
  gandi: {
    env: { GANDIV5_PERSONAL_ACCESS_TOKEN: "gandi-secret" },
    fields: ["Authorization", "Bearer gandi-secret"],
  },
  ionos: {
    env: { IONOS_API_KEY: "pre.fix-secret" },
    fields: ["X-API-Key", "pre.fix-secret", ...json],
  },
  ovh: {
    env: { OVH_ENDPOINT: "ovh-eu", OVH_ACCESS_TOKEN: "ovh-secret" },
    fields: [...json, "Authorization", "Bearer ovh-secret"],
  },
} as const;

/** Rows with the provider's usual settings, unless they have their own. OVH's replace them. */
function rows(provider: Vector["provider"], of: readonly Row[]): Vector[] {
  const { env, fields } = SETTINGS[provider];
  return of.map((row) => {
    const mixed = provider === "ovh" && row.env !== undefined ? row.env : { ...env, ...row.env };
    return { fields, ...row, provider, env: mixed };
  });
}

export const conversations: readonly Vector[] = [
  ...rows("digitalocean", digitalocean),
  ...rows("desec", desec),
  ...rows("gandi", gandi),
  ...rows("ionos", ionos),
  ...rows("ovh", ovh),
];

/** Settings, and what is said about them: parts of the message. */
export interface Settings {
  readonly name: string;
  readonly why: string;
  readonly provider: Vector["provider"];
  readonly input: Readonly<Record<string, string>>;
  readonly expect: readonly string[];
}

const missing = (provider: Vector["provider"], input: Settings["input"], expect: string[]) => ({
  name: `${provider}: ${Object.keys(input).join(", ") || "nothing"}`,
  why: "the message names what is missing or wrong",
  provider,
  input,
  expect,
});

export const settings: readonly Settings[] = [
  missing("digitalocean", {}, ["DO_AUTH_TOKEN"]),
  missing("digitalocean", { DO_AUTH_TOKEN: "x", DO_API_URL: "ftp://x" }, ["DO_API_URL", "ftp://x"]),
  missing("digitalocean", { DO_AUTH_TOKEN: "x", DO_TTL: "1m" }, ["DO_TTL", "whole number"]),
  missing("desec", {}, ["DESEC_TOKEN"]),
  missing("desec", { DESEC_TOKEN: "x", DESEC_TTL: "-1" }, ["DESEC_TTL"]),
  missing("gandi", {}, ["GANDIV5_PERSONAL_ACCESS_TOKEN", "GANDIV5_API_KEY"]),
  missing("ionos", {}, ["IONOS_API_KEY"]),
  missing("ovh", {}, ["OVH_ENDPOINT"]),
  missing("ovh", { OVH_ENDPOINT: "ovh-de", OVH_ACCESS_TOKEN: "x" }, ["ovh-de", "ovh-eu, ovh-ca"]),
  missing("ovh", { OVH_ENDPOINT: "ovh-eu" }, ["OVH_APPLICATION_KEY"]),
  missing("ovh", application, ["OVH_APPLICATION_SECRET"]),
  missing("ovh", { ...application, OVH_APPLICATION_SECRET: "x" }, ["OVH_CONSUMER_KEY"]),
  missing("ovh", { OVH_ENDPOINT: "ovh-eu", OVH_CLIENT_ID: "x" }, ["OVH_CLIENT_SECRET"]),
  missing("ovh", { ...client, OVH_ENDPOINT: "kimsufi-eu" }, ["OVH_CLIENT_ID", "ovh-us"]),
  missing("ovh", { ...client, ...application }, ["OVH_APPLICATION_KEY and OVH_CLIENT_ID"]),
];
