/**
 * A process of test/e2e-faults.test.ts: writes a file again and again, in full one character or the
 * other, until it is killed. Writes a line when
 * the first time is over.
 */
import process from "node:process";
import { writeFileAtomic } from "../lib/file.ts";

const [path = "", size = ""] = process.argv.slice(2);
const contents = ["a", "b"].map((character) => character.repeat(Number(size)));
for (let i = 0;; i++) {
  await writeFileAtomic(path, contents[i % 2] as string);
  if (i === 0) process.stdout.write("begun\n");
}
