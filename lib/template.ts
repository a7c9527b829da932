/**
 * Go's text/template (the package of Go 1.26): a template's text and data in, text out. Pure and
 * synchronous; needs gostring.ts and the template*.ts below.
 *
 *   templatelex.ts, templateparse.ts    text to tokens, tokens to trees (templatenode.ts)
 *   templateexec.ts, templatecall.ts    trees and data to text
 *   templatebuiltins.ts                 and, eq, index, printf, …
 *   templateliteral.ts, gostring.ts     Go's literals; its strings, which are bytes
 *   govalue.ts, gofmt.ts, gofloat.ts    Go's types of JavaScript's values, and how they print
 *
 * Templates are the operator's, data may be hostile: of objects only own members are seen, what is
 * printed has a limit, as have nesting and steps.
 *
 * Not as Go: imaginary numbers are refused, nesting and recursion end sooner, there are no
 * iterator functions to range over, an address always prints as 0xc000000000, `slice` takes an
 * index right out of a map or list of mixed types, and output is UTF-8: bytes that aren't print as
 * U+FFFD.
 */
import { Buffer } from "node:buffer";
import { quoteGo, wellFormed } from "./gostring.ts";
import { BUILTINS } from "./templatebuiltins.ts";
import type { Callable } from "./templatecall.ts";
import { executeTree, ExecutionProblem } from "./templateexec.ts";
import { showNode, type Statement } from "./templatenode.ts";
import { parseTemplate, SyntaxProblem } from "./templateparse.ts";

/** By name. What one throws fails the template with its message. */
export type Functions = Readonly<Record<string, Callable>>;

export interface Template {
  /** Throws TemplateError. `data` is as govalue.ts says. */
  execute(data: unknown): string;
}

/** A template that can't be parsed or, with some data, executed; the message is Go's. */
export class TemplateError extends Error {
  /** The template's name as given to compile(). */
  readonly template: string;
  /** 1-based. */
  readonly line: number;
  /** In bytes from the start of the line, 0-based, as Go counts. */
  readonly column: number;

  constructor(message: string, template: string, line: number, column: number) {
    super(message);
    this.template = template;
    this.line = line;
    this.column = column;
  }
}

/** Throws TemplateError for a text that isn't a template or uses a function that isn't there. */
export function compile(name: string, source: string, functions: Functions = {}): Template {
  const own = new Map(Object.entries(functions));
  const trees = parse(name, source, (word) => own.has(word) || BUILTINS.has(word));
  return {
    execute(data) {
      try {
        return wellFormed(executeTree(trees, name, own, data));
      } catch (error) {
        if (!(error instanceof ExecutionProblem)) throw error;
        const { line, column } = positionOf(source, error.node.at);
        const where = `${name}:${line}:${column}: executing ${quoteGo(error.template)}`;
        const message = `template: ${where} at <${showNode(error.node)}>: ${error.message}`;
        throw new TemplateError(message, name, line, column);
      }
    },
  };
}

function parse(
  name: string,
  source: string,
  isFunction: (name: string) => boolean,
): Map<string, readonly Statement[]> {
  try {
    return parseTemplate(name, source, isFunction);
  } catch (error) {
    if (error instanceof RangeError) {
      throw new TemplateError(`template: ${name}: nested too deeply`, name, 1, 0);
    }
    if (!(error instanceof SyntaxProblem)) throw error;
    const { line, message, at } = error;
    const { column } = positionOf(source, at);
    throw new TemplateError(`template: ${name}:${line}: ${message}`, name, line, column);
  }
}

function positionOf(source: string, at: number): { line: number; column: number } {
  const before = source.slice(0, at);
  const line = before.split("\n").length;
  return { line, column: Buffer.byteLength(before.slice(before.lastIndexOf("\n") + 1)) };
}
