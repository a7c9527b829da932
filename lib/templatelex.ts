/**
 * The lexer of Go's text/template: a template's text in, tokens out, as package parse has them.
 * Pure and linear; needs gostring.ts.
 */
import { isPrintable, quoteGo } from "./gostring.ts";

export type TokenType =
  | ("error" | "eof" | "text" | "leftDelim" | "rightDelim" | "space" | "char")
  | ("assign" | "declare" | "pipe" | "leftParen" | "rightParen")
  | ("bool" | "number" | "charConstant" | "string" | "rawString" | "nil")
  | ("dot" | "field" | "variable" | "identifier" | Keyword);

export type Keyword =
  | ("block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range" | "template")
  | "with";

export interface Token {
  readonly type: TokenType;
  /** In UTF-16 units. */
  readonly at: number;
  /** What it is made of; of an error, what is wrong. */
  readonly text: string;
  /** 1-based. */
  readonly line: number;
}

const KEYWORDS: ReadonlySet<string> = new Set<Keyword>([
  ...["block", "break", "continue", "define", "else", "end", "if", "range"] as const,
  ...["template", "with"] as const,
]);

const [LEFT, RIGHT] = ["{{", "}}"];
const [COMMENT, COMMENT_END] = ["/*", "*/"];
const SPACES = " \t\r\n";

/** Tokens that begin with a certain character; each pattern matches or the input is wrong. */
const QUOTED: Readonly<Record<string, { type: TokenType; pattern: RegExp; problem: string }>> = {
  '"': {
    type: "string",
    pattern: /"(?:[^"\\\n]|\\[^\n])*"/uy,
    problem: "unterminated quoted string",
  },
  "'": {
    type: "charConstant",
    pattern: /'(?:[^'\\\n]|\\[^\n])*'/uy,
    problem: "unterminated character constant",
  },
  "`": { type: "rawString", pattern: /`[^`]*`/y, problem: "unterminated raw quoted string" },
};

const NUMBER_PARTS = [
  String.raw`0[xX][\da-fA-F_]*(?:\.[\da-fA-F_]*)?(?:[pP][+-]?[\d_]*)?`,
  String.raw`0[oO][0-7_]*(?:\.[0-7_]*)?`,
  String.raw`0[bB][01_]*(?:\.[01_]*)?`,
  String.raw`[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?[\d_]*)?`,
];
const NUMBER = new RegExp(`[+-]?(?:${NUMBER_PARTS.join("|")})i?`, "y");
const WORD = /[\p{L}\p{Nd}_]*/uy; // unicode.IsLetter, unicode.IsDigit

export function isKeyword(word: string): boolean {
  return KEYWORDS.has(word);
}

/** `isName`: whether a function takes the place of the keyword `break` or `continue`. */
export class Lexer {
  readonly #source: string;
  readonly #isName: (keyword: string) => boolean;
  /** Where the next token begins, and its line. */
  #at = 0;
  #line = 1;
  #isInside = false;
  #parens = 0;

  constructor(source: string, isName: (keyword: string) => boolean) {
    this.#source = source;
    this.#isName = isName;
  }

  /** After an error only more of them, after the end only that. */
  next(): Token {
    return this.#isInside ? this.#inside() : this.#text();
  }

  #token(type: TokenType, end: number): Token {
    const token = { type, at: this.#at, text: this.#source.slice(this.#at, end), line: this.#line };
    this.#skip(end);
    return token;
  }

  #error(text: string): Token {
    return { type: "error", at: this.#at, text, line: this.#line };
  }

  #skip(end: number): void {
    for (let i = this.#at; i < end; i++) if (this.#source.charCodeAt(i) === 10) this.#line++;
    this.#at = end;
  }

  /** Up to the next action, less the space that its marker trims. */
  #text(): Token {
    const source = this.#source;
    const left = source.indexOf(LEFT, this.#at);
    const end = left < 0 ? source.length : left;
    let kept = end;
    if (left >= 0 && isLeftMarker(source, left + LEFT.length)) {
      while (kept > this.#at && SPACES.includes(source[kept - 1]!)) kept--;
    }
    if (kept > this.#at) {
      const token = this.#token("text", kept);
      this.#skip(end);
      return token;
    }
    this.#skip(end);
    return left < 0 ? this.#token("eof", end) : this.#leftDelim();
  }

  #leftDelim(): Token {
    const source = this.#source;
    const afterDelim = this.#at + LEFT.length;
    const after = afterDelim + (isLeftMarker(source, afterDelim) ? 2 : 0);
    if (source.startsWith(COMMENT, after)) {
      this.#skip(after);
      return this.#comment();
    }
    const token = this.#token("leftDelim", afterDelim);
    this.#skip(after);
    this.#isInside = true;
    this.#parens = 0;
    return token;
  }

  /** Comments aren't tokens: what follows one is. */
  #comment(): Token {
    const source = this.#source;
    const end = source.indexOf(COMMENT_END, this.#at + COMMENT.length);
    if (end < 0) return this.#fail("unclosed comment");
    const after = end + COMMENT_END.length;
    const width = rightDelimWidth(source, after);
    if (width === 0) return this.#fail("comment ends before closing delimiter");
    this.#skip(width > RIGHT.length ? spacesEnd(source, after + width) : after + width);
    return this.#text();
  }

  /** An error outside of an action: nothing follows it. */
  #fail(text: string): Token {
    const error = this.#error(text);
    this.#skip(this.#source.length);
    return error;
  }

  #inside(): Token {
    const source = this.#source;
    const width = rightDelimWidth(source, this.#at);
    if (width > 0) {
      return this.#parens === 0 ? this.#rightDelim(width) : this.#error("unclosed left paren");
    }
    const char = source[this.#at];
    if (char === undefined) return this.#error("unclosed action");
    if (SPACES.includes(char)) return this.#space();
    const quoted = Object.hasOwn(QUOTED, char) ? QUOTED[char] : undefined;
    if (quoted !== undefined) {
      const end = match(quoted.pattern, source, this.#at);
      return end < 0 ? this.#error(quoted.problem) : this.#token(quoted.type, end);
    }
    if (char === "$") return this.#name("variable");
    const isDigitNext = /^(\d|$)/.test(source.charAt(this.#at + 1));
    if (char === "." && !isDigitNext) return this.#name("field");
    if (/[.+\-\d]/.test(char)) return this.#number();
    return match(WORD, source, this.#at) > this.#at ? this.#word() : this.#sign(char);
  }

  #rightDelim(width: number): Token {
    const isTrimming = width > RIGHT.length;
    if (isTrimming) this.#skip(this.#at + 2);
    const token = this.#token("rightDelim", this.#at + RIGHT.length);
    if (isTrimming) this.#skip(spacesEnd(this.#source, this.#at));
    this.#isInside = false;
    return token;
  }

  /** The last of several may belong to a delimiter that trims. */
  #space(): Token {
    const end = spacesEnd(this.#source, this.#at);
    return this.#token("space", rightDelimWidth(this.#source, end - 1) > 0 ? end - 1 : end);
  }

  /** `.x`, `$x`, or `.` and `$` alone. */
  #name(type: "field" | "variable"): Token {
    const end = match(WORD, this.#source, this.#at + 1);
    if (!isTerminator(this.#source, end)) return this.#badCharacter(end);
    return this.#token(type === "field" && end === this.#at + 1 ? "dot" : type, end);
  }

  #word(): Token {
    const end = match(WORD, this.#source, this.#at);
    const word = this.#source.slice(this.#at, end);
    if (!isTerminator(this.#source, end)) return this.#badCharacter(end);
    const isWord = isKeyword(word) && !this.#isName(word);
    const type = word === "true" || word === "false" ? "bool" : word === "nil" ? "nil" : undefined;
    return this.#token(type ?? (isWord ? word as Keyword : "identifier"), end);
  }

  #number(): Token {
    const source = this.#source;
    let end = match(NUMBER, source, this.#at);
    let isGood = !isWordAt(source, end);
    if (isGood && /^[+-]/.test(source.charAt(end))) { // 1+2i
      end = match(NUMBER, source, end);
      isGood = !isWordAt(source, end) && source[end - 1] === "i";
    }
    if (isGood) return this.#token("number", end);
    // The letter that it ends before is a part of what is wrong.
    const bad = source.slice(this.#at, match(/[\p{L}\p{Nd}_]?/uy, source, end));
    return this.#error(`bad number syntax: ${quoteGo(bad)}`);
  }

  #sign(char: string): Token {
    const end = this.#at + 1;
    if (char === "=") return this.#token("assign", end);
    if (char === "|") return this.#token("pipe", end);
    if (char === ":") {
      const isDeclare = this.#source[end] === "=";
      return isDeclare ? this.#token("declare", end + 1) : this.#error("expected :=");
    }
    if (char === "(") {
      this.#parens++;
      return this.#token("leftParen", end);
    }
    if (char === ")") {
      return this.#parens-- > 0
        ? this.#token("rightParen", end)
        : this.#error("unexpected right paren");
    }
    if (/[ -~]/.test(char)) return this.#token("char", end);
    return this.#error(`unrecognized character in action: ${describe(this.#source, this.#at)}`);
  }

  #badCharacter(at: number): Token {
    return this.#error(`bad character ${describe(this.#source, at)}`);
  }
}

/** Where a sticky pattern's match ends; -1 for none. */
function match(pattern: RegExp, source: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(source) ? pattern.lastIndex : -1;
}

/** `- ` after a left delimiter. */
function isLeftMarker(source: string, at: number): boolean {
  return source[at] === "-" && isSpaceAt(source, at + 1);
}

/** 2 for `}}`, 4 for ` -}}`, 0 for neither. */
function rightDelimWidth(source: string, at: number): number {
  if (source.startsWith(RIGHT, at)) return RIGHT.length;
  return isSpaceAt(source, at) && source.startsWith(`-${RIGHT}`, at + 1) ? 2 + RIGHT.length : 0;
}

function isSpaceAt(source: string, at: number): boolean {
  const char = source[at];
  return char !== undefined && SPACES.includes(char);
}

function spacesEnd(source: string, at: number): number {
  while (isSpaceAt(source, at)) at++;
  return at;
}

function isWordAt(source: string, at: number): boolean {
  return match(WORD, source, at) > at;
}

/** What may follow a name. */
function isTerminator(source: string, at: number): boolean {
  const char = source[at];
  return char === undefined || `${SPACES}.,|:)(`.includes(char) || source.startsWith(RIGHT, at);
}

/** Go's `%#U`. */
function describe(source: string, at: number): string {
  const code = source.codePointAt(at) ?? 0;
  const rune = String.fromCodePoint(code);
  const hex = code.toString(16).toUpperCase().padStart(4, "0");
  return `U+${hex}${isPrintable(rune) ? ` '${rune}'` : ""}`;
}
