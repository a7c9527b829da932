/**
 * Images of ours as the Dockerfile makes them, for an engine that can fetch none: what the
 * Dockerfile begins with is made of the runtime that runs the test, its libraries, and busybox.
 */
import { chmod, cp, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Engine } from "./engine.ts";
import { findProgram, root, run, thisRuntime } from "./support.ts";

const APPLETS = ["sh", "cat", "chmod", "chown", "echo", "ls", "mkdir", "rm", "sleep"];
/** Options go to Deno, the rest to the program, as with `node FILE …`. */
const DENO_AS_NODE = '#!/bin/sh\nexport DENO_DIR=/tmp/deno\nexec /usr/bin/deno run -A "$@"\n';

/** Makes `centauri` and `dotege`, which run under the runtime that runs the test. */
export async function makeOurImages(engine: Engine): Promise<void> {
  const files = join(engine.folder, "runtime");
  const isDeno = thisRuntime.kind === "deno";
  const program = isDeno ? "usr/bin/deno" : "usr/bin/node";
  await copy(thisRuntime.path, join(files, program));
  for (const library of await librariesOf(thisRuntime.path)) {
    await copy(library, join(files, library));
  }
  if (isDeno) {
    await writeFile(join(files, "usr/bin/node"), DENO_AS_NODE);
    await chmod(join(files, "usr/bin/node"), 0o755);
  }
  await copy(findProgram("busybox") as string, join(files, "bin/busybox"));
  for (const name of APPLETS) await symlink("busybox", join(files, "bin", name));
  await Promise.all(["etc", "tmp"].map((name) => mkdir(join(files, name))));
  await chmod(join(files, "tmp"), 0o1777);
  const archive = join(engine.folder, "runtime.tar");
  await run("tar", ["-C", files, "--owner=0", "--group=0", "-cf", archive, "."]);
  await engine.docker("import", archive, "runtime:1");
  const context = await buildContext(engine);
  for (const target of ["centauri", "dotege"]) {
    await engine.docker(
      ...["build", "--network", "none", "--build-arg", "RUNTIME=runtime:1"],
      ...["--target", target, "--tag", target, context],
    );
  }
}

async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to, { dereference: true });
}

async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await run("ldd", [program]);
  return stdout.split("\n").flatMap((line) => /(?:=>)?\s+(\/\S+) \(/.exec(line)?.[1] ?? []);
}

/** What .dockerignore leaves, without the rest, which an engine without BuildKit would be sent. */
async function buildContext(engine: Engine): Promise<string> {
  const context = join(engine.folder, "context");
  await mkdir(context);
  const ours = new Set([
    "Dockerfile",
    "package.json",
    "centauri.ts",
    "dotege.ts",
    "lib",
    "templates",
  ]);
  for (const name of await readdir(root)) {
    if (ours.has(name)) await cp(join(root, name), join(context, name), { recursive: true });
  }
  return context;
}
