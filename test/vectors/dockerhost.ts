/** Docker's variables: where they lead, or what the error says. */
import type { DockerEnvironment } from "../../lib/dockerhost.ts";

export interface HostVector {
  readonly name: string;
  readonly why: string;
  readonly input: DockerEnvironment;
  /** `unix path`, `tcp host port [tls …] base Host`, `ssh arg arg …`; or a part of the error. */
  readonly expect: string | { readonly error: string };
}

const host = (
  DOCKER_HOST: string,
  expect: HostVector["expect"],
  why: string,
  more: DockerEnvironment = {},
): HostVector => ({
  name: JSON.stringify({ DOCKER_HOST, ...more }),
  why,
  input: { DOCKER_HOST, ...more },
  expect,
});

const refused = (DOCKER_HOST: string, why: string): HostVector =>
  host(DOCKER_HOST, { error: "invalid DOCKER_HOST" }, why);

const SSH = "ssh -T -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=30";
const CERTS = { DOCKER_CERT_PATH: "/certs" };
const VERIFY = { DOCKER_TLS_VERIFY: "1" };

export const hosts: readonly HostVector[] = [
  {
    name: "nothing",
    why: "the default",
    input: {},
    expect: "unix /var/run/docker.sock",
  },
  host("", "unix /var/run/docker.sock", "set but empty, as compose files do"),
  host("unix:///run/user/1000/docker.sock", "unix /run/user/1000/docker.sock", "rootless"),
  host("unix:///a b/ü.sock", "unix /a b/ü.sock", "any path"),
  host("tcp://docker:2375", "tcp docker 2375 Host docker:2375", "a socket proxy"),
  host("tcp://docker_proxy:2375", "tcp docker_proxy 2375 Host docker_proxy:2375", "compose's name"),
  host("tcp://docker", "tcp docker 2375 Host docker:2375", "Docker's port"),
  host("tcp://192.0.2.1:1", "tcp 192.0.2.1 1 Host 192.0.2.1:1", "an address"),
  host("tcp://[::1]:2375", "tcp ::1 2375 Host [::1]:2375", "IPv6"),
  host("tcp://[fe80::1%eth0]:1", "tcp fe80::1%eth0 1 Host [fe80::1]:1", "a zone isn't sent"),
  host("tcp://[::1]", "tcp ::1 2375 Host [::1]:2375", "IPv6 without a port"),
  host("tcp://h:1/base/", "tcp h 1 /base Host h:1", "a base path, without its last slash"),
  host("http://h", "tcp h 80 Host h:80", "its own port"),
  host("https://h", "tcp h 443 tls verified Host h:443", "always TLS"),
  host("tcp://h", "tcp h 2376 tls /certs Host h:2376", "Docker's rule: not verified", CERTS),
  host("tcp://h", "tcp h 2376 tls verified /certs Host h:2376", "verified", {
    ...CERTS,
    ...VERIFY,
  }),
  host("tcp://h", "tcp h 2376 tls verified Host h:2376", "no folder: the system's roots", VERIFY),
  host("tcp://h", "tcp h 2375 Host h:2375", "set but empty", {
    DOCKER_CERT_PATH: "",
    DOCKER_TLS_VERIFY: "",
  }),
  host("unix:///s", "unix /s", "no TLS on a socket", { ...CERTS, ...VERIFY }),
  host("ssh://box", `${SSH} -- box docker system dial-stdio`, "ssh's own settings"),
  host(
    "ssh://me@box:2222",
    `${SSH} -l me -p 2222 -- box docker system dial-stdio`,
    "user and port",
  ),
  host("ssh://[::1]:22", `${SSH} -p 22 -- ::1 docker system dial-stdio`, "IPv6"),
  host(
    "ssh://box/run/user/1000/docker.sock",
    `${SSH} -- box docker --host unix:///run/user/1000/docker.sock system dial-stdio`,
    "another socket there",
  ),
  host("ssh://box/", `${SSH} -- box docker system dial-stdio`, "no path"),
  host("unix:///s", "unix /s 1.44", "a pinned version", { DOCKER_API_VERSION: "1.44" }),
  host("unix:///s", "unix /s 1.24", "Go's library takes a v away", { DOCKER_API_VERSION: "v1.24" }),
  ...["1", "1.", ".44", "1.44.1", "auto", "1.x", " 1.44", "1.44\n", "0x1.1", "1.9999"].map((text) =>
    host("unix:///s", { error: "invalid DOCKER_API_VERSION" }, "no version", {
      DOCKER_API_VERSION: text,
    })
  ),
  refused(`tcp://h${"//}".repeat(60_000)}`, "takes no longer than it is long"),
  host(`tcp://h${"/".repeat(60_000)}x`, `tcp h 2375 ${"/".repeat(60_000)}x Host h:2375`, "so"),
  refused("docker:2375", "no scheme"),
  refused("/var/run/docker.sock", "a path"),
  refused("unix://docker.sock", "a relative path"),
  refused("unix://", "no path"),
  refused("unix:///a\0b", "no file name"),
  refused("tcp://", "no host"),
  refused("tcp://:2375", "no host"),
  refused("tcp://h:0", "no port"),
  refused("tcp://h:65536", "no port"),
  refused("tcp://h:0x10", "no port"),
  refused("tcp://::1:2375", "brackets are missing"),
  refused("tcp://1.2.3:2375", "neither a name nor an address"),
  refused("tcp://h/a b", "a space"),
  refused("tcp://h/a?b", "a query"),
  refused("tcp://h/a\r\nX: y", "a second field"),
  refused("tcp://h\r\n:1", "a second line"),
  refused("tcp://me:secret@h", "a password"),
  refused("ssh://me:secret@h", "a password"),
  refused("ssh://-oProxyCommand=touch x", "an option for ssh"),
  refused("ssh://-oProxyCommand=x@h", "an option for ssh"),
  refused("ssh://-l@h", "an option for ssh"),
  refused("ssh://h;touch x", "a shell's"),
  refused("ssh://h/$(touch x)", "the other shell's"),
  refused("ssh://h/a;b", "the other shell's"),
  refused("ssh://h/-x", "an option for docker"),
  refused("ssh://", "no host"),
  refused("ssh://h:x", "no port"),
  refused("ssh://h?a", "a query"),
  refused("fd://", "for daemons"),
  refused("npipe:////./pipe/docker", "Windows"),
  refused("TCP://h", "schemes are lower case"),
  refused("__proto__://h", "a key of every object"),
  refused("constructor://h", "a key of every object"),
];
