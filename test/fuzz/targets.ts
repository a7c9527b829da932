/** Whatever is fuzzed: a codec is a row of one of these tables. */
import { binaryTargets } from "./binary.ts";
import type { Target } from "./fuzzer.ts";
import { http1Targets } from "./http1.ts";
import { http2Targets } from "./http2.ts";
import { templateTargets } from "./templates.ts";
import { textTargets } from "./texts.ts";
import { upstreamTargets } from "./upstream.ts";

export const targets: readonly Target[] = [
  ...[...http1Targets, ...upstreamTargets, ...http2Targets],
  ...[...binaryTargets, ...textTargets, ...templateTargets],
];
