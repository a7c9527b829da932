/**
 * The tree of a template, and how errors quote its nodes. Pure; needs gostring.ts and
 * templateliteral.ts.
 */
import { quoteGo } from "./gostring.ts";
import type { Constant } from "./templateliteral.ts";

/** Where a node begins in the template's text, in UTF-16 units. */
interface Positioned {
  readonly at: number;
}

export type Statement =
  | Positioned & { readonly type: "text"; readonly text: string }
  | Positioned & { readonly type: "action"; readonly pipe: Pipe }
  | Branch
  | Positioned & { readonly type: "template"; readonly name: string; readonly pipe?: Pipe }
  | Positioned & { readonly type: "break" | "continue" };

export interface Branch extends Positioned {
  readonly type: "if" | "range" | "with";
  readonly pipe: Pipe;
  readonly body: readonly Statement[];
  readonly otherwise?: readonly Statement[];
}

/** Its variables are declared, or assigned to, when it was evaluated. */
export interface Pipe extends Positioned {
  readonly type: "pipe";
  readonly isAssign: boolean;
  readonly variables: readonly string[];
  readonly commands: readonly Command[];
}

export interface Command extends Positioned {
  readonly type: "command";
  readonly args: readonly Operand[];
}

export type Operand =
  | Positioned & { readonly type: "dot" | "nil" }
  | Positioned & { readonly type: "bool"; readonly value: boolean }
  | Positioned & { readonly type: "number"; readonly constant: Constant; readonly text: string }
  | Positioned & { readonly type: "string"; readonly value: string; readonly quoted: string }
  | Positioned & { readonly type: "identifier"; readonly name: string }
  | Field
  | Variable
  | Chain
  | Pipe;

/** `.a.b` */
export interface Field extends Positioned {
  readonly type: "field";
  readonly path: readonly string[];
}

/** `$x.a.b` */
export interface Variable extends Positioned {
  readonly type: "variable";
  readonly name: string;
  readonly path: readonly string[];
}

/** `(…).a.b` */
export interface Chain extends Positioned {
  readonly type: "chain";
  readonly of: Operand;
  readonly path: readonly string[];
}

/** Any node, as an error points at one. */
export type Node = Statement | Command | Operand;

/** A node as text, as errors quote it. */
export function showNode(node: Node): string {
  switch (node.type) {
    case "text":
      return node.text;
    case "action":
      return `{{${showNode(node.pipe)}}}`;
    case "template":
      return `{{template ${quoteGo(node.name)}${node.pipe ? ` ${showNode(node.pipe)}` : ""}}}`;
    case "break":
    case "continue":
      return `{{${node.type}}}`;
    case "if":
    case "range":
    case "with": {
      const otherwise = node.otherwise && `{{else}}${node.otherwise.map(showNode).join("")}`;
      const body = node.body.map(showNode).join("");
      return `{{${node.type} ${showNode(node.pipe)}}}${body}${otherwise ?? ""}{{end}}`;
    }
    case "pipe": {
      const names = node.variables.join(", ") + (node.isAssign ? " = " : " := ");
      return (node.variables.length > 0 ? names : "") + node.commands.map(showNode).join(" | ");
    }
    case "command":
      return node.args.map(showArgument).join(" ");
    case "chain":
      return [showArgument(node.of), ...node.path].join(".");
    case "field":
      return ["", ...node.path].join(".");
    case "variable":
      return [node.name, ...node.path].join(".");
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "bool":
      return `${node.value}`;
    case "number":
      return node.text;
    case "string":
      return node.quoted;
    case "identifier":
      return node.name;
  }
}

function showArgument(node: Operand): string {
  return node.type === "pipe" ? `(${showNode(node)})` : showNode(node);
}
