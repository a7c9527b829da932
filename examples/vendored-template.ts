/** Text by `lib/template.ts` and what it needs: TEMPLATE_FILE, and data in JSON on stdin. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { compile, TemplateError } from "../lib/template.ts";

const [file = ""] = process.argv.slice(2);
const isObject = (value: unknown) => value?.constructor === Object;
const data = JSON.parse(
  readFileSync(0, "utf8"),
  (_, value) => isObject(value) ? new Map(Object.entries(value)) : value, // as Go's maps
);
try {
  const template = compile(file, readFileSync(file, "utf8"), {
    upper: (s: string) => s.toUpperCase(),
  });
  process.stdout.write(template.execute(data));
} catch (error) {
  if (!(error instanceof TemplateError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
