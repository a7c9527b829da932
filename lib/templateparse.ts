/**
 * The parser of Go's text/template: text in, a tree for each template it defines out. Pure; needs
 * gostring.ts, templatelex.ts, templateliteral.ts, templatenode.ts. Grammar, order of checks and so
 * the line of the first error are package parse's; nesting is limited to what JavaScript's stack
 * can bear.
 */
import { quoteGo } from "./gostring.ts";
import { isKeyword, Lexer, type Token, type TokenType } from "./templatelex.ts";
import { LiteralError, parseNumber, unquote, unquoteRune } from "./templateliteral.ts";
import {
  type Branch,
  type Command,
  type Operand,
  type Pipe,
  showNode,
  type Statement,
} from "./templatenode.ts";

/** Of parentheses, control actions and `else if`s within each other; Go's is 10,000. */
const MAX_NESTING = 1000;

/** A text that isn't a template: where it was noticed. */
export class SyntaxProblem extends Error {
  readonly line: number;
  readonly at: number;
  constructor(message: string, token: Token) {
    super(message);
    this.line = token.line;
    this.at = token.at;
  }
}

/** Whether a function has that name. */
type IsFunction = (name: string) => boolean;
type Context = Branch["type"];
/** A list ends with the token of its `{{end}}` or `{{else}}`. */
type Ending = "end" | "else";

/** What of a command's operands is a value and can't be called. */
const CONSTANTS: ReadonlySet<string> = new Set(["bool", "dot", "nil", "number", "string"]);
const OPERANDS: ReadonlySet<TokenType> = new Set([
  ...["bool", "charConstant", "dot", "field", "identifier", "number", "nil"] as const,
  ...["rawString", "string", "variable", "leftParen"] as const,
]);

/** The templates that the text defines, the text itself under `name`. Throws SyntaxProblem. */
export function parseTemplate(
  name: string,
  source: string,
  isFunction: IsFunction,
): Map<string, readonly Statement[]> {
  const trees = new Map<string, readonly Statement[]>();
  const isName = (word: string) => (word === "break" || word === "continue") && isFunction(word);
  new Parser(name, new Lexer(source, isName), trees, isFunction).parseAll(name);
  return trees;
}

/** Of one template, be it within another: each has its own variables and look-ahead. */
class Parser {
  readonly #file: string;
  readonly #lexer: Lexer;
  readonly #trees: Map<string, readonly Statement[]>;
  readonly #isFunction: IsFunction;
  /** Tokens given back, the next one last. */
  readonly #ahead: Token[] = [];
  /** The last token that this parser took from the lexer: its line is an error's. */
  #last: Token = { type: "eof", at: 0, text: "", line: 0 };
  /** Names in scope. */
  readonly #variables = ["$"];
  #actionLine = 0;
  #ranges = 0;
  #nesting: number;

  constructor(
    file: string,
    lexer: Lexer,
    trees: Map<string, readonly Statement[]>,
    isFunction: IsFunction,
    nesting = 0,
  ) {
    this.#file = file;
    this.#lexer = lexer;
    this.#trees = trees;
    this.#isFunction = isFunction;
    this.#nesting = nesting;
  }

  /** Text, actions and definitions to the end. */
  parseAll(name: string): void {
    const list: Statement[] = [];
    for (let token = this.#peek(); token.type !== "eof"; token = this.#peek()) {
      if (token.type === "leftDelim") {
        const delim = this.#next();
        const word = this.#nextNonSpace();
        if (word.type === "define") {
          this.#inner().#definition();
          continue;
        }
        this.#ahead.push(word, delim);
      }
      const node = this.#textOrAction();
      if (typeof node === "string") this.#fail(`unexpected {{${node}}}`);
      list.push(node);
    }
    this.#add(name, list);
  }

  #inner(): Parser {
    return new Parser(this.#file, this.#lexer, this.#trees, this.#isFunction, this.#nesting);
  }

  #definition(): void {
    const context = "define clause";
    const name = this.#nextNonSpace();
    if (name.type !== "string" && name.type !== "rawString") this.#unexpected(name, context);
    const text = this.#literal(() => unquote(name.text));
    this.#expect("rightDelim", context);
    const [list, end] = this.#list();
    if (end !== "end") this.#fail(`unexpected {{${end}}} in ${context}`);
    this.#add(text, list);
  }

  /** Of two templates of one name, one may be empty. */
  #add(name: string, list: readonly Statement[]): void {
    if (isEmpty(this.#trees.get(name) ?? [])) this.#trees.set(name, list);
    else if (!isEmpty(list)) {
      this.#fail(`template: multiple definition of template ${quoteGo(name)}`);
    }
  }

  /** To its `{{end}}` or `{{else}}`. */
  #list(): [list: Statement[], ending: Ending] {
    const list: Statement[] = [];
    while (this.#peekNonSpace().type !== "eof") {
      const node = this.#textOrAction();
      if (typeof node === "string") return [list, node];
      list.push(node);
    }
    return this.#fail("unexpected EOF");
  }

  #textOrAction(): Statement | Ending {
    const token = this.#nextNonSpace();
    if (token.type === "text") return { type: "text", at: token.at, text: token.text };
    if (token.type !== "leftDelim") this.#unexpected(token, "input");
    this.#actionLine = token.line;
    const node = this.#action();
    this.#actionLine = 0;
    return node;
  }

  #action(): Statement | Ending {
    const token = this.#nextNonSpace();
    switch (token.type) {
      case "block":
        return this.#block();
      case "break":
      case "continue":
        return this.#leaveRange(token, token.type);
      case "else":
        return this.#else();
      case "end":
        this.#expect("rightDelim", "end");
        return "end";
      case "if":
      case "range":
      case "with":
        return this.#branch(token.type);
      case "template":
        return this.#template();
      default:
        this.#ahead.push(token);
        return { type: "action", at: token.at, pipe: this.#pipeline("command", "rightDelim") };
    }
  }

  #leaveRange(token: Token, type: "break" | "continue"): Statement {
    const next = this.#nextNonSpace();
    if (next.type !== "rightDelim") this.#unexpected(next, `{{${type}}}`);
    if (this.#ranges === 0) this.#fail(`{{${type}}} outside {{range}}`);
    return { type, at: token.at };
  }

  /** An `if` or `with` that follows is left for #branch(). */
  #else(): Ending {
    const next = this.#peekNonSpace();
    if (next.type !== "if" && next.type !== "with") this.#expect("rightDelim", "else");
    return "else";
  }

  #branch(type: Context): Branch {
    this.#nest("max nesting depth exceeded");
    const scope = this.#variables.length;
    const pipe = this.#pipeline(type, "rightDelim");
    if (type === "range") this.#ranges++;
    const [body, ending] = this.#list();
    if (type === "range") this.#ranges--;
    const otherwise = ending === "else" ? this.#otherwise(type) : undefined;
    this.#variables.length = scope;
    this.#nesting--;
    return { type, at: pipe.at, pipe, body, ...otherwise && { otherwise } };
  }

  #otherwise(type: Context): Statement[] {
    // {{else if x}} is {{else}}{{if x}}, both closed by one {{end}}.
    const next = this.#peek().type;
    if (next === type && (next === "if" || next === "with")) {
      this.#next();
      return [this.#branch(next)];
    }
    const [list, ending] = this.#list();
    if (ending !== "end") this.#fail(`expected end; found {{${ending}}}`);
    return list;
  }

  /** A template that is defined where it is used. */
  #block(): Statement {
    const context = "block clause";
    const token = this.#nextNonSpace();
    const name = this.#templateName(token, context);
    const pipe = this.#pipeline(context, "rightDelim");
    const inner = this.#inner();
    const [list, end] = inner.#list();
    if (end !== "end") this.#fail(`unexpected {{${end}}} in ${context}`);
    inner.#add(name, list);
    return { type: "template", at: token.at, name, pipe };
  }

  #template(): Statement {
    const context = "template clause";
    const token = this.#nextNonSpace();
    const name = this.#templateName(token, context);
    const next = this.#nextNonSpace();
    if (next.type === "rightDelim") return { type: "template", at: token.at, name };
    this.#ahead.push(next);
    return {
      ...{ type: "template", at: token.at, name },
      pipe: this.#pipeline(context, "rightDelim"),
    };
  }

  #templateName(token: Token, context: string): string {
    if (token.type !== "string" && token.type !== "rawString") this.#unexpected(token, context);
    return this.#literal(() => unquote(token.text));
  }

  /** `$a, $b := command | command` */
  #pipeline(context: string, end: TokenType): Pipe {
    const { at } = this.#peekNonSpace();
    const variables: string[] = [];
    const isAssign = this.#declarations(context, variables);
    const commands: Command[] = [];
    for (;;) {
      const token = this.#nextNonSpace();
      if (token.type === end) break;
      if (!OPERANDS.has(token.type)) this.#unexpected(token, context);
      this.#ahead.push(token);
      commands.push(this.#command());
    }
    if (commands.length === 0) this.#fail(`missing value for ${context}`);
    const stage = commands.findIndex(({ args }, i) => i > 0 && CONSTANTS.has(args[0]!.type));
    if (stage > 0) this.#fail(`non executable command in pipeline stage ${stage + 1}`);
    return { type: "pipe", at, isAssign, variables, commands };
  }

  /** Adds the names; whether they are assigned to. */
  #declarations(context: string, names: string[]): boolean {
    for (;;) {
      const variable = this.#peekNonSpace();
      if (variable.type !== "variable") return false;
      this.#next();
      const after = this.#peek();
      const next = this.#peekNonSpace();
      const isComma = next.type === "char" && next.text === ",";
      if (!isComma && next.type !== "assign" && next.type !== "declare") {
        // The space matters: `$x .y` has two operands.
        if (after.type === "space") this.#ahead.push(after);
        this.#ahead.push(variable);
        return false;
      }
      this.#nextNonSpace();
      names.push(variable.text);
      this.#variables.push(variable.text);
      if (!isComma) return next.type === "assign";
      if (context !== "range" || names.length > 1) {
        this.#fail(`too many declarations in ${context}`);
      }
      const { type } = this.#peekNonSpace();
      if (type !== "variable" && type !== "rightDelim" && type !== "rightParen") {
        this.#fail("range can only initialize variables");
      }
    }
  }

  /** Operands separated by spaces, up to a `|`, which is taken, or an end, which isn't. */
  #command(): Command {
    const { at } = this.#peekNonSpace();
    const args: Operand[] = [];
    for (;;) {
      this.#peekNonSpace(); // skips spaces
      const operand = this.#operand();
      if (operand !== undefined) args.push(operand);
      const token = this.#next();
      if (token.type === "space") continue;
      if (token.type === "rightDelim" || token.type === "rightParen") this.#ahead.push(token);
      else if (token.type !== "pipe") this.#unexpected(token, "operand");
      break;
    }
    if (args.length === 0) this.#fail("empty command");
    return { type: "command", at, args };
  }

  /** A term and the fields after it. */
  #operand(): Operand | undefined {
    const term = this.#term();
    if (term === undefined || this.#peek().type !== "field") return term;
    const { at } = this.#peek();
    const path: string[] = [];
    while (this.#peek().type === "field") path.push(this.#next().text.slice(1));
    if (term.type === "field" || term.type === "variable") {
      return { ...term, at, path: [...term.path, ...path] };
    }
    if (CONSTANTS.has(term.type)) {
      this.#fail(`unexpected . after term ${quoteGo(showNode(term))}`);
    }
    return { type: "chain", at, of: term, path };
  }

  #term(): Operand | undefined {
    const token = this.#nextNonSpace();
    const { at, text } = token;
    switch (token.type) {
      case "identifier":
        if (!this.#isFunction(text)) this.#fail(`function ${quoteGo(text)} not defined`);
        return { type: "identifier", at, name: text };
      case "dot":
      case "nil":
        return { type: token.type, at };
      case "variable":
        if (!this.#variables.includes(text)) {
          this.#fail(`undefined variable ${quoteGo(text)}`);
        }
        return { type: "variable", at, name: text, path: [] };
      case "field":
        return { type: "field", at, path: [text.slice(1)] };
      case "bool":
        return { type: "bool", at, value: text === "true" };
      case "charConstant": {
        const code = this.#literal(() => unquoteRune(text));
        return { type: "number", at, text, constant: { integer: code, value: code } };
      }
      case "number":
        return { type: "number", at, text, constant: this.#literal(() => parseNumber(text)) };
      case "string":
      case "rawString":
        return { type: "string", at, quoted: text, value: this.#literal(() => unquote(text)) };
      case "leftParen": {
        this.#nest("max expression depth exceeded");
        const pipe = this.#pipeline("parenthesized pipeline", "rightParen");
        this.#nesting--;
        return pipe;
      }
      default:
        this.#ahead.push(token);
        return undefined;
    }
  }

  #nest(problem: string): void {
    if (this.#nesting++ >= MAX_NESTING) this.#fail(problem);
  }

  #literal<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof LiteralError) this.#fail(error.message);
      throw error;
    }
  }

  #next(): Token {
    const given = this.#ahead.pop();
    if (given !== undefined) return given;
    this.#last = this.#lexer.next();
    return this.#last;
  }

  #peek(): Token {
    const token = this.#next();
    this.#ahead.push(token);
    return token;
  }

  #nextNonSpace(): Token {
    let token = this.#next();
    while (token.type === "space") token = this.#next();
    return token;
  }

  #peekNonSpace(): Token {
    const token = this.#nextNonSpace();
    this.#ahead.push(token);
    return token;
  }

  #expect(type: TokenType, context: string): void {
    const token = this.#nextNonSpace();
    if (token.type !== type) this.#unexpected(token, context);
  }

  #unexpected(token: Token, context: string): never {
    if (token.type !== "error") this.#fail(`unexpected ${showToken(token)} in ${context}`);
    let extra = "";
    if (this.#actionLine !== 0 && this.#actionLine !== token.line) {
      const action = token.text.endsWith(" action") ? "" : " in action";
      extra = `${action} started at ${this.#file}:${this.#actionLine}`;
    }
    return this.#fail(token.text + extra);
  }

  #fail(message: string): never {
    throw new SyntaxProblem(message, this.#last);
  }
}

/** Nothing but white space. */
function isEmpty(list: readonly Statement[]): boolean {
  return list.every((node) => node.type === "text" && /^\p{White_Space}*$/u.test(node.text));
}

function showToken({ type, text }: Token): string {
  if (type === "eof") return "EOF";
  if (type === "dot" || type === "nil" || isKeyword(type)) return `<${text}>`;
  const runes = [...text];
  return runes.length > 10 ? `${quoteGo(runes.slice(0, 10).join(""))}...` : quoteGo(text);
}
