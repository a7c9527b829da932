/**
 * The machine's network interfaces, which all tests that run at a time share: those of a Docker
 * engine's networks come and go, and Chromium ends its HTTP/2 connections whenever any does
 * (ERR_NETWORK_CHANGED). So tests that do either wait for each other, whichever runtime runs them.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withLock } from "../lib/lock.ts";

/** Longer than whatever holds them. */
const PATIENCE_MS = 1_200_000;

/** Resolves when nobody else has them, with what lets them go. */
export function holdInterfaces(): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const path = join(tmpdir(), "centauri-tests-interfaces");
    const hold = () => new Promise<void>((release) => resolve(release));
    withLock(path, hold, AbortSignal.timeout(PATIENCE_MS)).catch(reject);
  });
}
