/** JSON Web Signatures of the RFCs, and text that is base64url or isn't. */
import type { JsonWebKey } from "node:crypto";
import type { FlattenedJws } from "../../lib/jose.ts";

/** `expect`: hexadecimal; undefined for what must be refused. */
export interface Base64Vector {
  readonly name: string;
  readonly why: string;
  readonly input: string;
  readonly expect: string | undefined;
}

export const base64: readonly Base64Vector[] = [
  { name: "nothing", why: "no bytes", input: "", expect: "" },
  { name: "f", why: "RFC 4648 section 10", input: "Zg", expect: "66" },
  { name: "fo", why: "RFC 4648 section 10", input: "Zm8", expect: "666f" },
  { name: "foo", why: "RFC 4648 section 10", input: "Zm9v", expect: "666f6f" },
  { name: "- and _", why: "RFC 7515 appendix C", input: "A-z_4ME", expect: "03ecffe0c1" },
  { name: "+ and /", why: "standard base64", input: "A+z/4ME", expect: "03ecffe0c1" },
  { name: "one =", why: "padded", input: "A+z/4ME=", expect: "03ecffe0c1" },
  { name: "two =", why: "padded", input: "Zg==", expect: "66" },
  { name: "set bits that don't count", why: "secrets are made up so", input: "Zh", expect: "66" },
  { name: "one character", why: "six bits are no byte", input: "A", expect: undefined },
  { name: "five characters", why: "six bits too many", input: "Zm9vA", expect: undefined },
  { name: "one = of two", why: "wrong padding", input: "Zg=", expect: undefined },
  { name: "= after whole bytes", why: "wrong padding", input: "Zm9v=", expect: undefined },
  { name: "four = ", why: "no digits", input: "====", expect: undefined },
  { name: "= within", why: "it ends the text", input: "Zg==Zg==", expect: undefined },
  { name: "a space", why: "no digit", input: "Zm9v Zm9v", expect: undefined },
  { name: "a line end", why: "no digit", input: "Zm9v\n", expect: undefined },
  { name: "a letter with an accent", why: "no digit", input: "Zm9é", expect: undefined },
];

/** Signed with the key of `jwk`, or with a secret: its hash, and the base64url of it. */
export interface JwsVector {
  readonly name: string;
  readonly why: string;
  readonly input: {
    readonly jwk?: JsonWebKey;
    readonly secret?: readonly ["HS256" | "HS384" | "HS512", string];
    readonly header: object;
    readonly payload: unknown;
  };
  readonly expect: FlattenedJws;
}

const JOE = '{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}';
const JOE64 =
  "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290" +
  "Ijp0cnVlfQ";

export const ecKey: JsonWebKey = {
  kty: "EC",
  crv: "P-256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
  d: "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
};

/** An ES256 signature that isn't ours: RFC 7515 A.3. */
export const ecSigned: FlattenedJws = {
  protected: "eyJhbGciOiJFUzI1NiJ9",
  payload: JOE64,
  signature:
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU" +
    "1Q",
};

export const rsaKey: JsonWebKey = {
  kty: "RSA",
  n: "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEz" +
    "P1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf6" +
    "3kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5Zw" +
    "Kh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW" +
    "yuXpoQ",
  e: "AQAB",
  d: "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7Y" +
    "wVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3M" +
    "kqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1Zd" +
    "iYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRu" +
    "OopznQ",
  p: "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB" +
    "0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDw" +
    "GUc",
  q: "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul" +
    "7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9R" +
    "Wdc",
  dp: "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz" +
    "-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAd" +
    "Yo0",
  dq: "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3" +
    "Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIi" +
    "THU",
  qi: "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3" +
    "ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFku" +
    "Q3U",
};

const HOBBIT =
  "It’s a dangerous business, Frodo, going out your door. You step onto the road, and " +
  "if you don't keep your feet, there’s no knowing where you might be swept off to.";
const HOBBIT64 =
  "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0" +
  "ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5v" +
  "IGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

/** The bytes 0 to 63. */
const SECRET =
  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-" +
  "Pw";

export const signatures: readonly JwsVector[] = [
  {
    name: "RS256",
    why: "RFC 7515 A.2",
    input: { jwk: rsaKey, header: {}, payload: JOE },
    expect: {
      protected: "eyJhbGciOiJSUzI1NiJ9",
      payload: JOE64,
      signature:
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt" +
        "_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArL" +
        "IARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7no" +
        "OPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ" +
        "Ge77Rw",
    },
  },
  {
    name: "HS256",
    why: "RFC 7520 section 4.4",
    input: {
      secret: ["HS256", "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"],
      header: { kid: "018c0ae5-4d9b-471b-bfd6-eef314bc7037" },
      payload: HOBBIT,
    },
    expect: {
      protected: "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
      payload: HOBBIT64,
      signature: "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
    },
  },
  {
    name: "HS384",
    why: "made with Python's hmac; the header's members in their order",
    input: {
      secret: ["HS384", SECRET],
      header: { kid: "kid-1", url: "https://ca.example/new-account" },
      payload: { a: 1 },
    },
    expect: {
      protected:
        "eyJhbGciOiJIUzM4NCIsImtpZCI6ImtpZC0xIiwidXJsIjoiaHR0cHM6Ly9jYS5leGFtcGxlL25ldy1hY2Nv" +
        "dW50In0",
      payload: "eyJhIjoxfQ",
      signature: "XPM7mqsyY3IKl0vVQEsRjgreeVwP9xNGZn7c199Q2OkGpE9X99xIaT0g8798V-PC",
    },
  },
  {
    name: "HS512",
    why: "made with Python's hmac; the header's members in their order",
    input: {
      secret: ["HS512", SECRET],
      header: { kid: "kid-1", url: "https://ca.example/new-account" },
      payload: { a: 1 },
    },
    expect: {
      protected:
        "eyJhbGciOiJIUzUxMiIsImtpZCI6ImtpZC0xIiwidXJsIjoiaHR0cHM6Ly9jYS5leGFtcGxlL25ldy1hY2Nv" +
        "dW50In0",
      payload: "eyJhIjoxfQ",
      signature:
        "DU_XpoNlUWxJE9eLKSdct5h0rf8J9jPCTZkPF2xcho6NckR2Q7Jw4KFXDEgmzLZPpSb8RpLl5FKjfrYfLMP4" +
        "TQ",
    },
  },
];

export interface ThumbprintVector {
  readonly name: string;
  readonly why: string;
  readonly input: JsonWebKey;
  readonly expect: string;
}

export const thumbprints: readonly ThumbprintVector[] = [
  {
    name: "RSA",
    why: "RFC 7638 section 3.1; alg and kid don't count",
    input: {
      kty: "RSA",
      n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS" +
        "oc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65" +
        "YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyr" +
        "dkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK" +
        "nqDKgw",
      e: "AQAB",
      alg: "RS256",
    },
    expect: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
  },
  {
    name: "EC",
    why: "the members in lexicographic order; made with Python's hashlib",
    input: ecKey,
    expect: "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
  },
];
