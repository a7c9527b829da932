/** Why there is no certificate: what explain() and expectsNoPublicCa() of lib/causes.ts make of it. */
import type { Problem } from "../../lib/acme.ts";
import type { Explanation, Failure } from "../../lib/causes.ts";

export interface Vector<Input, Expected> {
  readonly name: string;
  readonly why: string;
  readonly input: Input;
  readonly expect: Expected;
}

export function problem(
  type: string,
  detail: string,
  status: number,
  subproblems: Problem["subproblems"] = [],
): Problem {
  const urn = type === "" ? "about:blank" : `urn:ietf:params:acme:error:${type}`;
  const rest = { instance: undefined, identifier: undefined, algorithms: undefined };
  return { type: urn, detail, status, ...rest, subproblems };
}

const label63 = "a".repeat(63);
const name253 = `${label63}.${label63}.${label63}.${"a".repeat(57)}.dev`;

export const failures: readonly Vector<Failure, Explanation>[] = [
  {
    name: "1 port closed",
    why: "Let's Encrypt's words for a dropped SYN",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "connection",
        "203.0.113.7: Fetching http://a.example/.well-known/acme-challenge/T: Timeout during connect (likely firewall problem)",
        400,
      ),
      seen: { addresses: ["203.0.113.7"] },
    },
    expect: {
      cause: "port-unreachable",
      message:
        'ca.example gets no answer at port 80 of a.example at 203.0.113.7 (DNS here says 203.0.113.7): the CA says "203.0.113.7: Fetching http://a.example/.well-known/acme-challenge/T: Timeout during connect (likely firewall problem)"',
      advice:
        "Let TCP port 80 through to Centauri's port 8080 (firewall, router, NAT), or use --dns-provider.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "1 port refused over TLS",
    why: "the other port, and no look from here",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "tls-alpn-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem("connection", "203.0.113.7: Connection refused", 400),
    },
    expect: {
      cause: "port-unreachable",
      message:
        'ca.example gets no answer at port 443 of a.example at 203.0.113.7: the CA says "203.0.113.7: Connection refused"',
      advice:
        "Let TCP port 443 through to Centauri's port 8443 (firewall, router, NAT), or use --dns-provider.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "1 Pebble, http-01",
    why: "Go's own words",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "connection",
        'Get "http://a.example/.well-known/acme-challenge/T": dial tcp 127.0.0.1:5002: connect: connection refused',
        400,
      ),
    },
    expect: {
      cause: "port-unreachable",
      message:
        'ca.example gets no answer at port 80 of a.example at 127.0.0.1: the CA says "Get \\"http://a.example/.well-known/acme-challenge/T\\": dial tcp 127.0.0.1:5002: connect: connection refused"',
      advice:
        "Let TCP port 80 through to Centauri's port 8080 (firewall, router, NAT), or use --dns-provider.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "1 Pebble, tls-alpn-01",
    why: "of type unauthorized, and IPv6 in brackets",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "tls-alpn-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        "Failed to connect to [2001:db8::5]:5001 for the tls-alpn-01 challenge",
        403,
      ),
    },
    expect: {
      cause: "port-unreachable",
      message:
        'ca.example gets no answer at port 443 of a.example at 2001:db8::5: the CA says "Failed to connect to [2001:db8::5]:5001 for the tls-alpn-01 challenge"',
      advice:
        "Let TCP port 443 through to Centauri's port 8443 (firewall, router, NAT), or use --dns-provider.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "1 server silent",
    why: "open, but nothing comes",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "connection",
        "203.0.113.7: Fetching http://a.example/.well-known/acme-challenge/T: Timeout after connect (your server may be slow or overloaded)",
        400,
      ),
    },
    expect: {
      cause: "port-unreachable",
      message:
        'ca.example gets no answer at port 80 of a.example at 203.0.113.7: the CA says "203.0.113.7: Fetching http://a.example/.well-known/acme-challenge/T: Timeout after connect (your server may be slow or overloaded)"',
      advice:
        "Let TCP port 80 through to Centauri's port 8080 (firewall, router, NAT), or use --dns-provider.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "2 DNS points elsewhere",
    why: "another web server says 404",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        "198.51.100.9: Invalid response from http://a.example/.well-known/acme-challenge/T: 404",
        403,
      ),
      seen: { addresses: ["198.51.100.9"] },
    },
    expect: {
      cause: "points-elsewhere",
      message:
        'ca.example reaches another server than this one as a.example at 198.51.100.9 (DNS here says 198.51.100.9): the CA says "198.51.100.9: Invalid response from http://a.example/.well-known/acme-challenge/T: 404"',
      advice: "Make the name's DNS, and any proxy in front, lead to Centauri's port 8080.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "2 Pebble",
    why: "its words for a status",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        "Non-200 status code from HTTP: http://a.example/.well-known/acme-challenge/T returned 404",
        403,
      ),
    },
    expect: {
      cause: "points-elsewhere",
      message:
        'ca.example reaches another server than this one as a.example: the CA says "Non-200 status code from HTTP: http://a.example/.well-known/acme-challenge/T returned 404"',
      advice: "Make the name's DNS, and any proxy in front, lead to Centauri's port 8080.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "2 another client's file",
    why: "status 200, but not our key authorization",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        'The key authorization file from the server did not match this challenge. Expected "T.x" (got "no")',
        403,
      ),
    },
    expect: {
      cause: "points-elsewhere",
      message:
        'ca.example reaches another server than this one as a.example: the CA says "The key authorization file from the server did not match this challenge. Expected \\"T.x\\" (got \\"no\\")"',
      advice: "Make the name's DNS, and any proxy in front, lead to Centauri's port 8080.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "3 stale AAAA",
    why: "the CA takes IPv6 first",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        "2001:db8::5: Invalid response from http://a.example/.well-known/acme-challenge/T: 404",
        403,
      ),
      seen: { addresses: ["203.0.113.7", "2001:db8::5"] },
    },
    expect: {
      cause: "ipv6-elsewhere",
      message:
        "ca.example asked a.example at 2001:db8::5, over IPv6, where the answer isn't Centauri's (DNS here says 203.0.113.7, 2001:db8::5): the CA says \"2001:db8::5: Invalid response from http://a.example/.well-known/acme-challenge/T: 404\"",
      advice: "Make that address lead to Centauri's port 8080, or remove the AAAA record.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "4 name doesn't exist",
    why: "no address at all",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "dns",
        "no valid A records found for a.example; no valid AAAA records found for a.example",
        400,
      ),
      seen: { addresses: [] },
    },
    expect: {
      cause: "name-unresolved",
      message:
        'a.example has no address in DNS (DNS here says nothing): the CA says "no valid A records found for a.example; no valid AAAA records found for a.example"',
      advice: "Add an A or AAAA record that leads here, and wait until it is seen everywhere.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "4 NXDOMAIN",
    why: "the other wording",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "dns",
        "DNS problem: NXDOMAIN looking up A for a.example - check that a DNS record exists for this domain",
        400,
      ),
    },
    expect: {
      cause: "name-unresolved",
      message:
        'a.example has no address in DNS: the CA says "DNS problem: NXDOMAIN looking up A for a.example - check that a DNS record exists for this domain"',
      advice: "Add an A or AAAA record that leads here, and wait until it is seen everywhere.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "4 Pebble",
    why: "of type malformed",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "tls-alpn-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem("malformed", 'Could not resolve URL "a.example"', 400),
    },
    expect: {
      cause: "name-unresolved",
      message:
        'a.example has no address in DNS: the CA says "Could not resolve URL \\"a.example\\""',
      advice: "Add an A or AAAA record that leads here, and wait until it is seen everywhere.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "4 name servers fail",
    why: "not the same as no address",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "dns",
        "DNS problem: SERVFAIL looking up A for a.example - the domain's nameservers may be malfunctioning",
        400,
      ),
    },
    expect: {
      cause: "dns-unanswered",
      message:
        'ca.example got no useful answer from the name servers of a.example: the CA says "DNS problem: SERVFAIL looking up A for a.example - the domain\'s nameservers may be malfunctioning"',
      advice: "Check that all of them can be reached from everywhere, and that DNSSEC is whole.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "4 DNSSEC",
    why: "a wrong DS record",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "dns",
        "DNS problem: looking up A for a.example: DNSSEC: Bogus: validation failure",
        400,
      ),
    },
    expect: {
      cause: "dns-unanswered",
      message:
        'ca.example got no useful answer from the name servers of a.example: the CA says "DNS problem: looking up A for a.example: DNSSEC: Bogus: validation failure"',
      advice: "Check that all of them can be reached from everywhere, and that DNSSEC is whole.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "5 redirect loop",
    why: "a proxy that redirects to itself",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "connection",
        "203.0.113.7: Fetching http://a.example/.well-known/acme-challenge/T: Redirect loop detected",
        400,
      ),
    },
    expect: {
      cause: "redirect-broken",
      message:
        'a.example answers the challenge with redirects that ca.example doesn\'t follow: the CA says "203.0.113.7: Fetching http://a.example/.well-known/acme-challenge/T: Redirect loop detected"',
      advice:
        "Let /.well-known/acme-challenge/ through: at most 10 hops, to ports 80 and 443 only.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "5 redirect target",
    why: "a missing slash",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "connection",
        "203.0.113.7: Fetching https://a.examplefoo: Invalid host in redirect target \"a.examplefoo\". Check webserver config for missing '/' in redirect target.",
        400,
      ),
    },
    expect: {
      cause: "redirect-broken",
      message:
        'a.example answers the challenge with redirects that ca.example doesn\'t follow: the CA says "203.0.113.7: Fetching https://a.examplefoo: Invalid host in redirect target \\"a.examplefoo\\". Check webserver config for missing \'/\' in redirect target."',
      advice:
        "Let /.well-known/acme-challenge/ through: at most 10 hops, to ports 80 and 443 only.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "6 login in front",
    why: "status 401",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        "203.0.113.7: Invalid response from http://a.example/.well-known/acme-challenge/T: 401",
        403,
      ),
    },
    expect: {
      cause: "access-refused",
      message:
        'something in front of Centauri refuses ca.example access to a.example, at least in part: the CA says "203.0.113.7: Invalid response from http://a.example/.well-known/acme-challenge/T: 401"',
      advice:
        "Exempt /.well-known/acme-challenge/ from logins and filters (CDN, country, robot), or use dns-01.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "6 404 at a path with 403",
    why: "the number isn't a status",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        "203.0.113.7: Invalid response from http://a.example/403/: 404",
        403,
      ),
    },
    expect: {
      cause: "points-elsewhere",
      message:
        'ca.example reaches another server than this one as a.example at 203.0.113.7: the CA says "203.0.113.7: Invalid response from http://a.example/403/: 404"',
      advice: "Make the name's DNS, and any proxy in front, lead to Centauri's port 8080.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "6 blocked for some",
    why: "one vantage point fails",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        "During secondary validation: 203.0.113.7: Invalid response from http://a.example/.well-known/acme-challenge/T: 403",
        403,
      ),
    },
    expect: {
      cause: "access-refused",
      message:
        'something in front of Centauri refuses ca.example access to a.example, at least in part: the CA says "During secondary validation: 203.0.113.7: Invalid response from http://a.example/.well-known/acme-challenge/T: 403"',
      advice:
        "Exempt /.well-known/acme-challenge/ from logins and filters (CDN, country, robot), or use dns-01.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "6 TLS ended in front",
    why: "a CDN with TLS of its own",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "tls-alpn-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "unauthorized",
        'Cannot negotiate ALPN protocol "acme-tls/1" for tls-alpn-01 challenge',
        403,
      ),
    },
    expect: {
      cause: "tls-elsewhere",
      message:
        'TLS for a.example isn\'t answered by Centauri where ca.example asks: the CA says "Cannot negotiate ALPN protocol \\"acme-tls/1\\" for tls-alpn-01 challenge"',
      advice:
        "Pass TCP port 443 through to Centauri's port 8443: nothing in front may end TLS; or use http-01.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "6 TLS alert",
    why: "type tls",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "tls-alpn-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem("tls", "203.0.113.7: remote error: tls: unrecognized name", 400),
    },
    expect: {
      cause: "tls-elsewhere",
      message:
        'TLS for a.example isn\'t answered by Centauri where ca.example asks: the CA says "203.0.113.7: remote error: tls: unrecognized name"',
      advice:
        "Pass TCP port 443 through to Centauri's port 8443: nothing in front may end TLS; or use http-01.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "7 no TXT",
    why: "not spread yet",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      problem: problem("unauthorized", "No TXT record found at _acme-challenge.a.example", 403),
      seen: {
        txt: [{ server: "ns1.a.example", values: ["v"] }, { server: "ns2.a.example", values: [] }, {
          server: "192.0.2.1",
          values: undefined,
          error: "timeout",
        }],
      },
    },
    expect: {
      cause: "txt-missing",
      message:
        'ca.example finds no TXT record at _acme-challenge.a.example (TXT records by server: "ns1.a.example" has 1, "ns2.a.example" has none, "192.0.2.1" fails: "timeout"): the CA says "No TXT record found at _acme-challenge.a.example"',
      advice: "Check that the provider serves this zone, or wait longer for DNS to spread.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "7 NXDOMAIN for TXT",
    why: "the wrong zone, seen from elsewhere",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      problem: problem(
        "dns",
        "During secondary validation: DNS problem: NXDOMAIN looking up TXT for _acme-challenge.a.example - check that a DNS record exists for this domain",
        400,
      ),
      seen: { txt: [] },
    },
    expect: {
      cause: "txt-missing",
      message:
        'ca.example finds no TXT record at _acme-challenge.a.example (TXT records by server: none found): the CA says "During secondary validation: DNS problem: NXDOMAIN looking up TXT for _acme-challenge.a.example - check that a DNS record exists for this domain"',
      advice: "Check that the provider serves this zone, or wait longer for DNS to spread.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "7 Pebble",
    why: "its words",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      problem: problem("unauthorized", 'No TXT records found for DNS challenge :"a.example"', 403),
    },
    expect: {
      cause: "txt-missing",
      message:
        'ca.example finds no TXT record at _acme-challenge.a.example: the CA says "No TXT records found for DNS challenge :\\"a.example\\""',
      advice: "Check that the provider serves this zone, or wait longer for DNS to spread.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "8 other TXT",
    why: "another client's values",
    input: {
      names: ["*.a.example"],
      challenge: "dns-01",
      name: "*.a.example",
      problem: problem(
        "unauthorized",
        'Incorrect TXT record "old" (and 2 more) found at _acme-challenge.a.example',
        403,
      ),
      ca: "ca.example",
    },
    expect: {
      cause: "txt-wrong",
      message:
        'ca.example finds only other TXT records at _acme-challenge.a.example: the CA says "Incorrect TXT record \\"old\\" (and 2 more) found at _acme-challenge.a.example"',
      advice: "Remove old ones; if another client uses the name too, delegate it by CNAME.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "8 Pebble",
    why: "its words",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      problem: problem(
        "unauthorized",
        'Correct value not found for DNS challenge :"a.example"',
        403,
      ),
    },
    expect: {
      cause: "txt-wrong",
      message:
        'ca.example finds only other TXT records at _acme-challenge.a.example: the CA says "Correct value not found for DNS challenge :\\"a.example\\""',
      advice: "Remove old ones; if another client uses the name too, delegate it by CNAME.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "9 credentials",
    why: "no problem of the CA's",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      error: new Error('Cloudflare refuses GET /zones: 403 "Invalid token"'),
    },
    expect: {
      cause: "dns-provider",
      message:
        'the TXT record for a.example couldn\'t be set: "Cloudflare refuses GET /zones: 403 \\"Invalid token\\""',
      advice:
        "Check the DNS provider's variables, and that the key may read the zone and change TXT records.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "9 provider down",
    why: "not the key's fault",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      error: new Error("POST https://api.dns.example/x", { cause: new Error("timed out") }),
    },
    expect: {
      cause: "dns-provider",
      message:
        'the TXT record for a.example couldn\'t be set: "POST https://api.dns.example/x: timed out"',
      advice:
        "Check the DNS provider's variables, and that the key may read the zone and change TXT records.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "9 a program that names the CA",
    why: "there is an order: what a provider says makes its failure no passing one",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      error: new Error("POST https://ca.example/chall/1: connection refused"),
    },
    expect: {
      cause: "ca-unreachable",
      message:
        'ca.example can\'t be reached: "POST https://ca.example/chall/1: connection refused"',
      advice: "Check outbound TCP port 443, DNS and proxies.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "9 a program that lacks a right",
    why: "it would be run every ten minutes otherwise, with an order each time",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      error: new Error('/hook ended with code 1; it said "Error: EACCES: permission denied"'),
    },
    expect: {
      cause: "file-unusable",
      message:
        'a file that is needed can\'t be read or written: "/hook ended with code 1; it said \\"Error: EACCES: permission denied\\""',
      advice:
        "Let this user do so, and see that the disk isn't full; mend a damaged file, or move it away.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "10 CAA, as seen from here",
    why: "a stranger's records are quoted",
    input: {
      names: ["a.example", "b.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      problem: problem("caa", "CAA record for a.example prevents issuance", 403),
      seen: {
        caa: { name: "example", records: [{ flags: 0, tag: "issue", value: "other.\x1b" }] },
      },
    },
    expect: {
      cause: "caa-forbids",
      message:
        'CAA records forbid ca.example to issue for a.example (CAA here, at example: "issue other.\\u001b"): the CA says "CAA record for a.example prevents issuance"',
      advice:
        "Add a CAA record that allows this CA (issue, or issuewild for a wildcard), or remove them.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "10 no CAA, as seen from here",
    why: "then the CA asks other servers, or there were some a moment ago",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("caa", "CAA record for a.example prevents issuance", 403),
      seen: { caa: { name: "", records: [] } },
    },
    expect: {
      cause: "caa-forbids",
      message:
        'CAA records forbid ca.example to issue for a.example (no CAA records are seen from here): the CA says "CAA record for a.example prevents issuance"',
      advice:
        "Add a CAA record that allows this CA (issue, or issuewild for a wildcard), or remove them.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "one challenge after another",
    why: "who mends only the last has one way, who doesn't hear of the first may want that one",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "tls-alpn-01",
      name: "a.example",
      problem: problem("connection", "203.0.113.7: Connection refused", 400),
      earlier: [new Error("ACME server refused http-01", { cause: new Error("no\npage") })],
    },
    expect: {
      cause: "port-unreachable",
      message:
        'ca.example gets no answer at port 443 of a.example at 203.0.113.7: the CA says "203.0.113.7: Connection refused"; before that "ACME server refused http-01: no\\npage"',
      advice:
        "Let TCP port 443 through to Centauri (firewall, router, NAT), or use --dns-provider.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "9 not spread in time",
    why: "our own wait",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "dns-01",
      name: "a.example",
      error: new Error(
        "the TXT record at _acme-challenge.a.example isn't seen everywhere after 60 s: ns2 answers without it",
      ),
    },
    expect: {
      cause: "dns-unseen",
      message:
        "the DNS provider took the TXT record of a.example, but its name servers don't all have it: \"the TXT record at _acme-challenge.a.example isn't seen everywhere after 60 s: ns2 answers without it\"",
      advice:
        "Check that the zone is really served by that provider; if it is slow, let it have more time.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "10 CAA forbids",
    why: "type caa",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem("caa", "CAA record for a.example prevents issuance", 403),
    },
    expect: {
      cause: "caa-forbids",
      message:
        'CAA records forbid ca.example to issue for a.example: the CA says "CAA record for a.example prevents issuance"',
      advice:
        "Add a CAA record that allows this CA (issue, or issuewild for a wildcard), or remove them.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "10 CAA not answered",
    why: "type dns",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      challenge: "http-01",
      name: "a.example",
      ports: { http: 8080, https: 8443 },
      problem: problem(
        "dns",
        "While processing CAA for a.example: DNS problem: SERVFAIL looking up CAA for a.example - the domain's nameservers may be malfunctioning",
        400,
      ),
    },
    expect: {
      cause: "caa-unanswered",
      message:
        "ca.example couldn't look up the CAA records of a.example: the CA says \"While processing CAA for a.example: DNS problem: SERVFAIL looking up CAA for a.example - the domain's nameservers may be malfunctioning\"",
      advice:
        "Have the name servers answer for type CAA, if only with an empty answer, and check DNSSEC.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "11 duplicates",
    why: "retry after in the detail",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem(
        "rateLimited",
        "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after 2024-11-25 03:11:00 UTC: see https://letsencrypt.org/docs/rate-limits/",
        429,
      ),
      notAfter: new Date("2027-01-02T03:04:05Z"),
    },
    expect: {
      cause: "rate-limited",
      message:
        'ca.example limits how much it does for a.example at a time: the CA says "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after 2024-11-25 03:11:00 UTC: see https://letsencrypt.org/docs/rate-limits/"',
      advice:
        "Wait; see why so much was asked: failures, or a certificate store that isn't kept; the old certificate is served until 2027-01-02.",
      retry: "backoff",
      retryAt: new Date("2024-11-25T03:11:00.000Z"),
      otherCa: true,
    },
  },
  {
    name: "11 failed authorizations",
    why: "Retry-After goes before the detail",
    input: {
      names: ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"],
      problem: problem(
        "rateLimited",
        'too many failed authorizations (5) for "a.example" in the last 1h0m0s, retry after 2024-11-22T13:00:00Z',
        429,
      ),
      retryAt: new Date("2024-11-22T14:00:00Z"),
      ca: "ca.example",
    },
    expect: {
      cause: "rate-limited",
      message:
        'ca.example limits how much it does for a.example, b.example, c.example, d.example and 2 more at a time: the CA says "too many failed authorizations (5) for \\"a.example\\" in the last 1h0m0s, retry after 2024-11-22T13:00:00Z"',
      advice: "Wait; see why so much was asked: failures, or a certificate store that isn't kept.",
      retry: "backoff",
      retryAt: new Date("2024-11-22T14:00:00.000Z"),
      otherCa: true,
    },
  },
  {
    name: "11 no such date",
    why: "then it isn't known",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("rateLimited", "no, retry after 2026-13-31 00:00:00 UTC", 429),
    },
    expect: {
      cause: "rate-limited",
      message:
        'ca.example limits how much it does for a.example at a time: the CA says "no, retry after 2026-13-31 00:00:00 UTC"',
      advice: "Wait; see why so much was asked: failures, or a certificate store that isn't kept.",
      retry: "backoff",
      otherCa: true,
    },
  },
  {
    name: "11 no ACME type",
    why: "a proxy's 429",
    input: { names: ["a.example"], ca: "ca.example", problem: problem("", "slow down", 429) },
    expect: {
      cause: "rate-limited",
      message:
        'ca.example limits how much it does for a.example at a time: the CA says "slow down"',
      advice: "Wait; see why so much was asked: failures, or a certificate store that isn't kept.",
      retry: "backoff",
      otherCa: true,
    },
  },
  {
    name: "12 paused",
    why: "not to be retried, with the link",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem(
        "rateLimited",
        "Your account is temporarily prevented from requesting certificates for a.example and possibly others. Please visit: https://portal.ca.example/sfe/v1/unpause?jwt=a.b-c_d",
        429,
      ),
      retryAt: new Date("2024-11-23T12:00:00Z"),
    },
    expect: {
      cause: "paused",
      message:
        'ca.example has paused this account for a.example, after many failures one after another: the CA says "Your account is temporarily prevented from requesting certificates for a.example and possibly others. Please visit: https://portal.ca.example/sfe/v1/unpause?jwt=a.b-c_d"',
      advice:
        "Find out why it failed, and then lift the pause. See https://portal.ca.example/sfe/v1/unpause?jwt=a.b-c_d",
      retry: "backoff",
      retryAt: new Date("2024-11-23T12:00:00.000Z"),
      otherCa: true,
    },
  },
  {
    name: "13 no public suffix",
    why: "type rejectedIdentifier",
    input: {
      names: ["nas.local"],
      problem: problem(
        "rejectedIdentifier",
        'Invalid identifiers requested :: Cannot issue for "nas.local": Domain name does not end with a valid public suffix (TLD)',
        400,
      ),
      ca: "ca.example",
    },
    expect: {
      cause: "name-refused",
      message:
        'ca.example doesn\'t certify nas.local: the CA says "Invalid identifiers requested :: Cannot issue for \\"nas.local\\": Domain name does not end with a valid public suffix (TLD)"',
      advice: "Use an internal CA (--acme-directory) or self-signing for it, or another name.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "13 in a subproblem",
    why: "RFC 8555 6.7.1: it is about b.example",
    input: {
      names: ["a.example", "b.example"],
      problem: problem("malformed", "Error creating new order", 400, [{
        ...problem("caa", "CAA record for b.example prevents issuance", 403),
        identifier: { type: "dns", value: "b.example" },
        subproblems: [],
      }]),
      ca: "ca.example",
    },
    expect: {
      cause: "caa-forbids",
      message:
        'CAA records forbid ca.example to issue for b.example: the CA says "CAA record for b.example prevents issuance"',
      advice:
        "Add a CAA record that allows this CA (issue, or issuewild for a wildcard), or remove them.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "13 Pebble",
    why: "the old type",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem(
        "malformed",
        'Order included an identifier for which issuance is forbidden by policy: "a.example"',
        400,
      ),
    },
    expect: {
      cause: "name-refused",
      message:
        'ca.example doesn\'t certify a.example: the CA says "Order included an identifier for which issuance is forbidden by policy: \\"a.example\\""',
      advice: "Use an internal CA (--acme-directory) or self-signing for it, or another name.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "13 IP address",
    why: "needs another profile",
    input: {
      names: ["192.0.2.1"],
      problem: problem("malformed", "Default profile does not permit IP address identifiers", 400),
      ca: "ca.example",
    },
    expect: {
      cause: "profile-refused",
      message:
        'ca.example doesn\'t certify 192.0.2.1 under this profile, or with this key: the CA says "Default profile does not permit IP address identifiers"',
      advice:
        "Set --acme-profile to one that it offers (for addresses: shortlived), or another --acme-key-type.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "13 profile",
    why: "an allow-listed one",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem(
        "unauthorized",
        'account ID 1 is not permitted to use certificate profile "shortlived"',
        403,
      ),
    },
    expect: {
      cause: "profile-refused",
      message:
        'ca.example doesn\'t certify a.example under this profile, or with this key: the CA says "account ID 1 is not permitted to use certificate profile \\"shortlived\\""',
      advice:
        "Set --acme-profile to one that it offers (for addresses: shortlived), or another --acme-key-type.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "14 EAB required",
    why: "ZeroSSL and others",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem(
        "externalAccountRequired",
        'The request must include a value for the "externalAccountBinding" field',
        403,
      ),
    },
    expect: {
      cause: "binding-refused",
      message:
        'ca.example wants an external account binding (EAB), and not the one it was given, if any: the CA says "The request must include a value for the \\"externalAccountBinding\\" field"',
      advice:
        "Set --acme-external-kid and -hmac anew: some CAs' expire; for ZeroSSL --acme-email will do.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "14 EAB refused",
    why: "Pebble's words",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem(
        "unauthorized",
        "the field 'kid' references a key that is not known to the ACME server",
        403,
      ),
    },
    expect: {
      cause: "binding-refused",
      message:
        "ca.example wants an external account binding (EAB), and not the one it was given, if any: the CA says \"the field 'kid' references a key that is not known to the ACME server\"",
      advice:
        "Set --acme-external-kid and -hmac anew: some CAs' expire; for ZeroSSL --acme-email will do.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "14 terms",
    why: "with the link of `instance`",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: {
        ...problem("userActionRequired", "Terms of service have changed", 403),
        instance: "https://ca.example/terms",
      },
    },
    expect: {
      cause: "terms-changed",
      message: 'ca.example has new terms of service: the CA says "Terms of service have changed"',
      advice: "Read and accept them; then it goes on by itself. See https://ca.example/terms",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "14 account unknown",
    why: "the CA lost it",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("accountDoesNotExist", "Account not found", 400),
    },
    expect: {
      cause: "account-refused",
      message:
        'ca.example refuses the account, or its e-mail address: the CA says "Account not found"',
      advice:
        "Correct --acme-email, or move the file of --user-data away: a new account is registered then.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "14 account closed",
    why: "deactivated by someone",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("unauthorized", 'Account is not valid, has status "deactivated"', 403),
    },
    expect: {
      cause: "account-refused",
      message:
        'ca.example refuses the account, or its e-mail address: the CA says "Account is not valid, has status \\"deactivated\\""',
      advice:
        "Correct --acme-email, or move the file of --user-data away: a new account is registered then.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "14 e-mail",
    why: "a forbidden domain",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("invalidContact", 'contact email has forbidden domain "example.com"', 400),
    },
    expect: {
      cause: "account-refused",
      message:
        'ca.example refuses the account, or its e-mail address: the CA says "contact email has forbidden domain \\"example.com\\""',
      advice:
        "Correct --acme-email, or move the file of --user-data away: a new account is registered then.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "14 key",
    why: "a weak key",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("badCSR", "CSR contains a public key that is too small", 400),
    },
    expect: {
      cause: "profile-refused",
      message:
        'ca.example doesn\'t certify a.example under this profile, or with this key: the CA says "CSR contains a public key that is too small"',
      advice:
        "Set --acme-profile to one that it offers (for addresses: shortlived), or another --acme-key-type.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "15 clock",
    why: "a certificate that isn't valid yet",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      error: new Error(
        "GET https://ca.example/dir: its certificate isn't valid yet, check the clock (…)",
      ),
    },
    expect: {
      cause: "ca-untrusted",
      message:
        "the server certificate of ca.example isn't valid here: \"GET https://ca.example/dir: its certificate isn't valid yet, check the clock (…)\"",
      advice:
        "Set the clock if it is wrong; for an internal CA set --lego-ca-certificates to its root.",
      retry: "soon",
      otherCa: false,
    },
  },
  {
    name: "no directory",
    why: "the likeliest mistake with an internal CA",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      error: new Error("ACME server answered directory with 404: 404 page not found"),
    },
    expect: {
      cause: "directory-wrong",
      message:
        'there is no ACME directory where ca.example was asked for it: "ACME server answered directory with 404: 404 page not found"',
      advice: "Correct the path of --acme-directory: it often ends in /directory.",
      retry: "soon",
      otherCa: false,
    },
  },
  {
    name: "no common challenge",
    why: "what the CA offers isn't configured",
    input: {
      names: ["*.a.example"],
      ca: "ca.example",
      error: new Error("*.a.example can be proved by dns-01 only, not by http-01"),
    },
    expect: {
      cause: "challenge-missing",
      message:
        'ca.example doesn\'t offer a way to prove *.a.example that is configured: "*.a.example can be proved by dns-01 only, not by http-01"',
      advice: "Name one that it offers in --acme-challenges; for dns-01 set --dns-provider.",
      retry: "never-until-change",
      otherCa: false,
    },
  },
  {
    name: "15 root",
    why: "an internal CA",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      error: new Error("GET https://ca.example/dir: its certificate is self-signed (…)"),
    },
    expect: {
      cause: "ca-untrusted",
      message:
        'the server certificate of ca.example isn\'t valid here: "GET https://ca.example/dir: its certificate is self-signed (…)"',
      advice:
        "Set the clock if it is wrong; for an internal CA set --lego-ca-certificates to its root.",
      retry: "soon",
      otherCa: false,
    },
  },
  {
    name: "15 outbound blocked",
    why: "a network error",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      error: new Error("GET https://ca.example/dir", { cause: new Error("nothing listens there") }),
      notAfter: new Date("2027-01-02T03:04:05Z"),
    },
    expect: {
      cause: "ca-unreachable",
      message: 'ca.example can\'t be reached: "GET https://ca.example/dir: nothing listens there"',
      advice: "Check outbound TCP port 443, DNS and proxies.",
      retry: "soon",
      otherCa: true,
    },
  },
  {
    name: "15 not writable",
    why: "the store",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      error: new Error("unable to write to path /data/user.pem", {
        cause: new Error("EACCES: permission denied, open '/data/user.pem'"),
      }),
    },
    expect: {
      cause: "file-unusable",
      message:
        "a file that is needed can't be read or written: \"unable to write to path /data/user.pem: EACCES: permission denied, open '/data/user.pem'\"",
      advice:
        "Let this user do so, and see that the disk isn't full; mend a damaged file, or move it away.",
      retry: "soon",
      otherCa: false,
    },
  },
  {
    name: "15 account file",
    why: "damaged",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      error: new Error("/data/user.pem can't be used: it is not valid JSON"),
    },
    expect: {
      cause: "file-unusable",
      message:
        "a file that is needed can't be read or written: \"/data/user.pem can't be used: it is not valid JSON\"",
      advice:
        "Let this user do so, and see that the disk isn't full; mend a damaged file, or move it away.",
      retry: "soon",
      otherCa: false,
    },
  },
  {
    name: "15 too slow",
    why: "our own limit",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      error: new Error("aborted", { cause: new Error("The operation was aborted due to timeout") }),
    },
    expect: {
      cause: "timed-out",
      message:
        'it took too long to get a certificate for a.example: "aborted: The operation was aborted due to timeout"',
      advice: "Raise --acme-overall-timeout.",
      retry: "backoff",
      otherCa: true,
    },
  },
  {
    name: "CA down",
    why: "500 with a time to come back",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("serverInternal", "Service busy; retry later.", 503),
      retryAt: new Date("2024-11-22T12:01:00Z"),
    },
    expect: {
      cause: "ca-down",
      message: 'ca.example has trouble of its own: the CA says "Service busy; retry later."',
      advice: "Wait, or name a second CA (--acme-directory).",
      retry: "backoff",
      retryAt: new Date("2024-11-22T12:01:00.000Z"),
      otherCa: true,
    },
  },
  {
    name: "CA down without words",
    why: "a load balancer's page",
    input: { names: ["a.example"], ca: "ca.example", problem: problem("", "", 502) },
    expect: {
      cause: "ca-down",
      message: "ca.example has trouble of its own",
      advice: "Wait, or name a second CA (--acme-directory).",
      retry: "backoff",
      otherCa: true,
    },
  },
  {
    name: "unknown problem",
    why: "a type of tomorrow",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem("newThing", "something else", 400),
    },
    expect: {
      cause: "unknown",
      message: 'no certificate for a.example: the CA says "something else"',
      advice: "See what the CA says, and the log before this.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "unknown error",
    why: "nothing is known of it",
    input: { names: ["a.example"], ca: "ca.example", error: new Error("odd") },
    expect: {
      cause: "unknown",
      message: 'no certificate for a.example: "odd"',
      advice: "See what the CA says, and the log before this.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "nothing known",
    why: "neither problem nor error",
    input: { names: ["a.example"], ca: "ca.example" },
    expect: {
      cause: "unknown",
      message: "no certificate for a.example",
      advice: "See what the CA says, and the log before this.",
      retry: "backoff",
      otherCa: false,
    },
  },
  {
    name: "hostile words",
    why: "controls, bidi, length, and a brace",
    input: {
      names: ["a.example"],
      ca: "ca.example",
      problem: problem(
        "malformed",
        "\u001b[31m\u202e{ca}\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        400,
      ),
      name: "x\u001b]0;",
    },
    expect: {
      cause: "unknown",
      message:
        'no certificate for "x\\u001b]0;": the CA says "\\u001b[31m\\u202e{ca}\\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"',
      advice: "See what the CA says, and the log before this.",
      retry: "backoff",
      otherCa: false,
    },
  },
];

export const names: readonly Vector<string, string | undefined>[] = [
  { name: "a public name", why: "the usual", input: "www.centauri.dev", expect: undefined },
  { name: "a wildcard", why: "DNS-01 can prove it", input: "*.centauri.dev", expect: undefined },
  { name: "capitals", why: "the same name", input: "WWW.Centauri.DEV", expect: undefined },
  { name: "an A-label", why: "RFC 5890 2.3.2.1", input: "xn--mnchen-3ya.de", expect: undefined },
  { name: "253 characters", why: "RFC 1035 2.3.4", input: name253, expect: undefined },
  {
    name: "254 characters",
    why: "over it",
    input: `a${name253}`,
    expect: "it is no domain name",
  },
  {
    name: "a public IPv4 address",
    why: "some CAs certify addresses",
    input: "8.8.8.8",
    expect: undefined,
  },
  { name: "a public IPv6 address", why: "the same", input: "2606:4700::1111", expect: undefined },
  {
    name: "private IPv4",
    why: "RFC 1918",
    input: "192.168.1.10",
    expect: "it is no public address",
  },
  { name: "loopback", why: "RFC 6890", input: "127.0.0.1", expect: "it is no public address" },
  { name: "shared space", why: "RFC 6598", input: "100.64.0.1", expect: "it is no public address" },
  {
    name: "documentation",
    why: "RFC 5737",
    input: "203.0.113.7",
    expect: "it is no public address",
  },
  { name: "multicast", why: "RFC 5771", input: "224.0.0.1", expect: "it is no public address" },
  { name: "just above private", why: "public again", input: "172.32.0.1", expect: undefined },
  { name: "unique local", why: "RFC 4193", input: "fd00::1", expect: "it is no public address" },
  { name: "link-local", why: "RFC 4291", input: "fe80::1", expect: "it is no public address" },
  { name: "IPv6 loopback", why: "RFC 4291", input: "::1", expect: "it is no public address" },
  {
    name: "IPv4-mapped",
    why: "it holds a private address",
    input: "::ffff:10.0.0.1",
    expect: "it is no public address",
  },
  {
    name: "IPv6 documentation",
    why: "RFC 3849",
    input: "2001:db8::1",
    expect: "it is no public address",
  },
  {
    name: "a wildcard of an address",
    why: "there is none",
    input: "*.8.8.8.8",
    expect: "an address has no wildcard",
  },
  {
    name: "single label",
    why: "CAs certify no host name alone",
    input: "nas",
    expect: "it is a single label",
  },
  { name: "localhost", why: "RFC 6761", input: "localhost", expect: "it is a single label" },
  {
    name: "below localhost",
    why: "RFC 6761",
    input: "a.localhost",
    expect: "localhost is no public domain",
  },
  {
    name: "local",
    why: "mDNS, RFC 6762",
    input: "nas.local",
    expect: "local is no public domain",
  },
  {
    name: "onion",
    why: "RFC 7686",
    input: "abc.onion",
    expect: "onion is no public domain",
  },
  {
    name: "home.arpa",
    why: "RFC 8375",
    input: "nas.home.arpa",
    expect: "home.arpa is no public domain",
  },
  {
    name: "internal",
    why: "ICANN's resolution of 2024",
    input: "db.internal",
    expect: "internal is no public domain",
  },
  {
    name: "lan",
    why: "home routers",
    input: "fritz.lan",
    expect: "lan is no public domain",
  },
  {
    name: "corp",
    why: "never to be delegated",
    input: "mail.corp",
    expect: "corp is no public domain",
  },
  { name: "test", why: "RFC 6761", input: "a.test", expect: "test is no public domain" },
  {
    name: "example.com",
    why: "RFC 6761 6.5",
    input: "www.example.com",
    expect: "example.com is no public domain",
  },
  {
    name: "a wildcard of it",
    why: "the same",
    input: "*.example.com",
    expect: "example.com is no public domain",
  },
  {
    name: "not example.com",
    why: "the label is longer",
    input: "www.myexample.com",
    expect: undefined,
  },
  {
    name: "local not last",
    why: "only the end counts",
    input: "local.centauri.dev",
    expect: undefined,
  },
  {
    name: "underscore",
    why: "Baseline Requirements 7.1.4.3",
    input: "_x.centauri.dev",
    expect: "it has an underscore",
  },
  {
    name: "R-LDH",
    why: "RFC 5890 2.3.1",
    input: "ab--c.centauri.dev",
    expect: "it has -- where only xn-- may stand (RFC 5890)",
  },
  {
    name: "wildcard inside",
    why: "only the first label can be one",
    input: "a.*.centauri.dev",
    expect: "it is no domain name",
  },
  {
    name: "two wildcards",
    why: "nor two",
    input: "*.*.centauri.dev",
    expect: "it is no domain name",
  },
  { name: "empty", why: "no name", input: "", expect: "it is no domain name" },
  { name: "empty label", why: "no name", input: "a..dev", expect: "it is no domain name" },
  {
    name: "last dot",
    why: "names are written without",
    input: "centauri.dev.",
    expect: "it is no domain name",
  },
  {
    name: "numeric end",
    why: "may be read as an address",
    input: "a.1",
    expect: "it is no domain name",
  },
  {
    name: "prototype",
    why: "a name like any",
    input: "a.__proto__",
    expect: "it has an underscore",
  },
  { name: "constructor", why: "a name like any", input: "a.constructor", expect: undefined },
];
