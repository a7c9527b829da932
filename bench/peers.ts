/**
 * Configurations of the programs that Centauri is compared with: one worker, TLS 1.2 and 1.3 with
 * the same suite, HTTP/2, connections to the upstream kept, the same forwarding headers, no log.
 */
import { randomBytes } from "node:crypto";
import { userInfo } from "node:os";

const SUITE = "TLS_AES_128_GCM_SHA256";

/** Where a peer listens, where it sends requests to, and its files (`cert.pem`, `both.pem`, …). */
export interface Place {
  readonly port: number;
  readonly upstream: number;
  readonly file: (name: string) => string;
}

export interface Peer {
  readonly title: string;
  readonly args: (config: string, folder: string) => readonly string[];
  readonly config: (place: Place) => string;
  /** Arguments that make it print its version. */
  readonly version: string;
}

export const PEERS: ReadonlyMap<string, Peer> = new Map([
  ["nginx", {
    title: "nginx",
    args: (config, folder) => ["-p", folder, "-c", config],
    config: nginxProxy,
    version: "-v",
  }],
  ["haproxy", {
    title: "HAProxy",
    args: (config) => ["-db", "-f", config],
    config: haproxy,
    version: "-v",
  }],
  ["caddy", {
    title: "Caddy",
    args: (config) => ["run", "--adapter", "caddyfile", "--config", config],
    config: caddy,
    version: "version",
  }],
]);

function nginxProxy({ port, upstream, file }: Place): string {
  return nginx(`
    upstream up { server 127.0.0.1:${upstream}; keepalive 128; keepalive_requests 1000000000; }
    server {
      listen [::]:${port} ssl http2 ipv6only=off;
      ssl_certificate ${file("cert.pem")};
      ssl_certificate_key ${file("key.pem")};
      ssl_protocols TLSv1.2 TLSv1.3;
      ssl_conf_command Ciphersuites ${SUITE};
      client_max_body_size 0;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto https;
      location / { proxy_pass http://up; }
    }`);
}

/**
 * An upstream: `/small`, 5 bytes, `/10k` and `/1m` from a folder, `/post` for requests with a body.
 * A mirror is what makes nginx read that body before it answers.
 */
export function nginxUpstream(port: number, folder: string): string {
  return nginx(`
    server {
      listen 127.0.0.1:${port};
      root ${folder};
      location = /small { default_type text/plain; return 200 "hello"; }
      location = /post { mirror /none; alias ${folder}/10k; error_page 405 =200 /small; }
      location = /none { internal; return 204; }
    }`);
}

function nginx(servers: string): string {
  const user = userInfo().uid === 0 ? "user root;" : "";
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const name = randomBytes(4).toString("hex");
  return `
    daemon off; worker_processes 1; pid ${name}.pid; error_log stderr; ${user}
    events { worker_connections 8192; }
    http {
      access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
      open_file_cache max=10;
      ${folders.map((folder) => `${folder}_temp_path ${name}-${folder};`).join(" ")}
      ${servers}
    }`;
}

function haproxy({ port, upstream, file }: Place): string {
  return `
global
  nbthread 1
  ssl-default-bind-ciphersuites ${SUITE}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 180s
  timeout server 180s
  http-reuse always
  option forwardfor
frontend tls
  bind :::${port} v4v6 ssl crt ${file("both.pem")} alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Host %[req.hdr(Host)]
  default_backend up
backend up
  server up 127.0.0.1:${upstream}
`;
}

function caddy({ port, upstream, file }: Place): string {
  return `
    {
      auto_https off
      admin off
      log default {
        level ERROR
      }
    }
    https://localhost:${port} {
      tls ${file("cert.pem")} ${file("key.pem")}
      reverse_proxy 127.0.0.1:${upstream} {
        transport http {
          keepalive_idle_conns_per_host 128
        }
      }
    }`;
}
