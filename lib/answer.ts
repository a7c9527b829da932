/**
 * Answers that the proxy gives by itself: redirects, refusals and the page for a failed upstream.
 *
 * Needs `exchange.ts`, `rewrite.ts`.
 */
import { Buffer } from "node:buffer";
import { STATUS_CODES } from "node:http"; // a table of names; nothing else of it is used
import type { Downstream } from "./exchange.ts";
import type { RequestHead } from "./http1.ts";
import { applyRules } from "./rewrite.ts";
import type { HeaderRule } from "./routes.ts";

export function reasonPhrase(status: number): string {
  return STATUS_CODES[status] ?? "";
}

/**
 * Answers with the built-in page, which for 502 says what Go's does; `extra` fields come first.
 * `detail` is markup: nothing that a client sent belongs in it.
 */
export function answer(
  downstream: Downstream,
  head: { readonly method: string },
  status: number,
  detail: string,
  extra: readonly string[] = [],
  rules: readonly HeaderRule[] = [],
): undefined {
  const title = reasonPhrase(status);
  const body = Buffer.from(
    `<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>${title}</title>\n` +
      `<h1>${title}</h1>\n<p>${detail}</p>\n</html>\n`,
  );
  const withBody = head.method !== "HEAD";
  const type = ["Content-Type", "text/html; charset=utf-8", "Content-Length", `${body.length}`];
  const fields = applyRules(["Date", new Date().toUTCString(), ...extra, ...type], rules);
  downstream.respond(status, title, fields, withBody ? body.length : 0);
  if (withBody) downstream.write(body);
  downstream.end([]);
}

/** 308, so that method and body stay; path and query byte for byte. */
export function redirect(
  downstream: Downstream,
  head: RequestHead,
  name: string,
  clientsPort: number,
  scheme: string = downstream.client.scheme,
): undefined {
  const port = clientsPort === (scheme === "https" ? 443 : 80) ? "" : `:${clientsPort}`;
  const path = head.target === "*" ? "/" : head.target;
  return answer(downstream, head, 308, "", ["Location", `${scheme}://${name}${port}${path}`]);
}

export const UNABLE = "The server was unable to complete your request. Please try again later.";
