/** Templates as people have them for Go Dotege, rendered as Go renders them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { view } from "../lib/hostnames.ts";
import { compile, TemplateError } from "../lib/template.ts";
import { createFunctions } from "../lib/templatefunctions.ts";
import { parseUsers } from "../lib/users.ts";
import { container, type Described } from "./containers.ts";

/**
 * Made with text/template of Go 1.26 and structs with Go Dotege's fields and methods; `expect` is
 * null where Go reports an error.
 */
interface Vectors {
  readonly templates: Readonly<Record<string, { why: string; source: string }>>;
  readonly situations: Readonly<
    Record<string, { containers: Readonly<Record<string, Described>>; users?: string }>
  >;
  readonly rows: readonly { template: string; situation: string; expect: string | null }[];
}

const file = new URL("./vectors/gotemplates.json", import.meta.url);
const vectors: Vectors = JSON.parse(readFileSync(file, "utf8"));

/** Null for a TemplateError. */
function render(source: string, situation: Vectors["situations"][string]): string | null {
  const containers = Object.entries(situation.containers).map(([name, is]) => container(name, is));
  const { data } = view(containers, { proxyTag: "", users: parseUsers(situation.users ?? "") });
  const template = compile("test", source, createFunctions(() => undefined));
  try {
    return template.execute(data);
  } catch (error) {
    if (error instanceof TemplateError) return null;
    throw error;
  }
}

function replay({ templates, situations, rows }: Vectors): void {
  assert.ok(rows.length > 0, "no rows");
  for (const { template, situation, expect } of rows) {
    const { source, why } = templates[template]!;
    assert.equal(
      render(source, situations[situation]!),
      expect,
      `${template}, ${situation}: ${why}`,
    );
  }
}

test("the runner fails on no rows and on a wrong row", () => {
  const { templates, situations } = vectors;
  assert.throws(() => replay({ templates, situations, rows: [] }), /no rows/);
  const wrong = { template: "domains.txt", situation: "one", expect: "b.example\n" };
  assert.throws(() => replay({ templates, situations, rows: [wrong] }), /a line for each/);
});

test("templates for Go Dotege render byte for byte as Go renders them", () => {
  replay(vectors);
});
