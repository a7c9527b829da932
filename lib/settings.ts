/**
 * Centauri's options: the one table that flags, variables, `--help` and the README come from.
 * Needs `options.ts`. What the runtimes' timers wait for has an upper bound: past 2^31 ms they fire
 * at once.
 */
import { type Option, optionTable } from "./options.ts";

export const CENTAURI_OPTIONS: readonly Option[] = optionTable(`
Routes
  config-source           choice file|network  file        Where the routes come from.
  config-network-address  string host:port  -              The server that sends them, see README.
  config                  string file       centauri.conf  The route file; SIGHUP reads it again.
  config-watch            boolean           false          Read the route file whenever it changes.
  validate                boolean           false          Do a start's checks, exit with 0 or 1.
Front end
  frontend                choice tcp|tailscale  tcp        What clients connect to.
  https-port              integer 0..65535  8443           For HTTPS; 0 lets the system choose.
  http-port               integer 0..65535  8080           For redirects and HTTP-01; 0 as above.
  http-redirect-port      integer 1..65535  443            Where clients find HTTPS, for redirects.
  workers                 string number|auto  1            Processes that serve; auto: one a core.
  trusted-downstreams     string networks   -              CIDRs whose X-Forwarded fields are kept.
  proxy-protocol-from     string networks   -              CIDRs that begin with a PROXY header.
Tailscale
  tailscale-mode          choice http|https  http          Plain routes, or TLS with redirects.
  tailscale-socket        string file       /var/run/tailscale/tailscaled.sock  tailscaled's.
  tailscale-key           string key        -              Refused: see tailscale up --auth-key.
  tailscale-hostname      string name       -              Refused: see tailscale up --hostname.
  tailscale-dir           string folder     -              Refused: see tailscaled --statedir.
Certificates
  certificate-store-type  choice json|redis  json          In a file, or shared through Redis.
  certificate-store       string file       certs.json     Certificates and their keys, mode 0600.
  certificate-providers   list names        lego selfsigned  Where they may come from, best first.
  wildcard-domains        list domains      -              Below these, one wildcard for all names.
  user-data               string file       user.pem       The account with the CA and its key.
  ocsp-stapling           boolean           false          Ask for certificates that must staple.
Redis
  redis-address           string address    localhost:6379  host:port, for the store in Redis.
  redis-db                integer 0..       0              The number of the database.
  redis-username          string name       -              Of an ACL user.
  redis-password          string password   -              Of that user, or of the server.
  redis-key-prefix        string text       centauri       Centauris with the same one share.
  redis-tls               boolean           false          Encrypt, and verify the server.
  redis-ca-certificates   string files      -              Roots for that, PEM; default the usual.
ACME
  acme-email              string address    -              Turns ACME on; for the CA's account.
  acme-directory          list urls         https://acme-v02.api.letsencrypt.org/directory  CAs.
  acme-challenges         list types        -              Ways to prove names, best first.
  acme-profile            string name       -              Of the CA's certificate profiles.
  acme-key-type           choice P256|P384|RSA2048|RSA3072|RSA4096  P256  Of certificates.
  acme-preferred-chain    string name       -              Common name of the chain's last issuer.
  acme-external-kid       list ids          -              External account of each CA; - for none.
  acme-external-hmac      list keys         -              Their keys, in base64url.
  acme-external-algorithm  choice HS256|HS384|HS512  HS256     Of those keys.
  acme-overall-request-limit  integer 1..1000  18          Requests a second to CAs.
  acme-obtain-interval    duration 0s..24h  0s             Between the starts of two orders.
  acme-overall-timeout    duration 0s..24h  10m            For one certificate; 0: none.
  lego-ca-certificates    string files      -              Roots for the CAs' own servers, PEM.
  lego-ca-system-cert-pool  boolean         false          Trust the usual roots as well.
  lego-ca-server-name     string name       -              To expect in the CA's own certificate.
DNS
  dns-provider            string name       -              Turns ACME on, by dns-01.
  acme-resolvers          string servers    -              To ask instead of a zone's own.
  acme-disable-propagation-check  boolean   false          Don't look whether a record is seen.
  acme-propagation-delay  duration 0s..24h  10s            Wait as long instead.
  lego-disable-cname-support  boolean       false          Don't follow CNAMEs at _acme-challenge.
Timeouts
  handshake-timeout       duration 1ms..    10s            From connecting to the handshake's end.
  header-timeout          duration 1ms..    10s            For the whole head of a request.
  idle-timeout            duration 1ms..    3m             For a connection without a request.
  stall-timeout           duration 1ms..    1m             For a client that doesn't send or take.
  connect-timeout         duration 1ms..24h  5s             To reach an upstream, by any address.
  shutdown-timeout        duration 0s..24h  10s            For requests in flight, after SIGTERM.
Limits
  max-head-size           size 1KiB..1MiB   64KiB          Of a request's head.
  max-head-fields         integer 1..10000  256            In a request's head.
  max-connections         integer 1..       10000          Of clients, each worker; Deno: 480.
Status
  status-socket           string file|off   -              For --status; default: the store's .sock.
  status-page             boolean           false          Show it at /status of --metrics-port.
Commands
  status                  boolean           false          Say how the running one is, and exit.
  json                    boolean           false          With --status: as JSON, all of it.
  obtain                  list names        -              Obtain one certificate now, and exit.
  account                 string action     -              rollover or deactivate, and exit.
  revoke                  string file       -              Revoke the certificate in it, and exit.
Log
  log.level               choice debug|info|warn|error  info           Clients' faults are debug.
  log.format              choice text|json  text           One line an event, to standard output.
  access-log              string file       -              Requests; - is stdout. SIGUSR1 reopens.
  access-log-format       choice combined|json  combined   Of its lines.
Metrics
  metrics-port            integer 0..65535  0              For Prometheus, at /metrics; 0: none.
  metrics-address         string address    -              To listen on; all interfaces if empty.
Help
  help                    boolean           false          Print this and exit.
`);
