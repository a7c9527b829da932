/** Containers as tests describe them: by what matters to them. */
import { Buffer } from "node:buffer";
import type { Container } from "../lib/container.ts";

/** What a test says of a container; its id is made of its name, other things are empty. */
export interface Described extends Partial<Omit<Container, "labels" | "name" | "env">> {
  readonly labels?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

export function container(name: string, described: Described = {}): Container {
  const { labels = {}, env = {}, ...more } = described;
  return {
    id: Buffer.from(name).toString("hex").padEnd(64, "0").slice(0, 64),
    name,
    labels: new Map(Object.entries(labels)),
    env: new Map(Object.entries(env)),
    ...{ image: "", created: "", state: "running", health: "" },
    ...{ networks: [], ports: [], problems: [] },
    ...more,
  };
}
