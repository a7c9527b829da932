/** Whatever is fuzzed: a codec is a row. */
import type { Target } from "./fuzzer.ts";
import { http1Targets } from "./http1.ts";
import { http2Targets } from "./http2.ts";

export const targets: readonly Target[] = [...http1Targets, ...http2Targets];
