/**
 * TSIG: requests and answers signed by miekg/dns 1.1.72 with the key acme-key and SECRET, and
 * answers changed by hand after that. Requests are an UPDATE that adds a TXT record.
 */
export const SECRET = "0123456789abcdef0123456789abcdef";

/** When the requests were signed, in seconds; the answers were a second later. */
export const SIGNED_AT = 1_700_000_000;

/** All in hex. */
export interface SignedRow {
  readonly name: string;
  readonly why: string;
  readonly input: { readonly algorithm: string };
  readonly expect: { readonly request: string; readonly mac: string; readonly answer: string };
}

export const SIGNED: readonly SignedRow[] = [
  {
    name: "an update and its answer with hmac-sha1",
    why: "RFC 8945 section 6",
    input: { algorithm: "hmac-sha1" },
    expect: {
      request: "123428000001000000010001076578616d706c6503636f6d00000600010f5f61636d652d6368616c" +
        "6c656e6765076578616d706c6503636f6d000010000100000078002c2b4c504a4e756c2d776f7734" +
        "6d3644737178626e696e687357486c776670304a656377517a59704f4c6d43510861636d652d6b65" +
        "790000fa00ff00000000002f09686d61632d736861310000006553f100012c00149e924ff0cb6ee2" +
        "299733ff75df58044471f5a5ec123400000000",
      mac: "9e924ff0cb6ee2299733ff75df58044471f5a5ec",
      answer: "1234a8000001000000000001076578616d706c6503636f6d00000600010861636d652d6b65790000" +
        "fa00ff00000000002f09686d61632d736861310000006553f101012c00149f176978c7f3f72c9448" +
        "d7e2f4dff7c2e897c00c123400000000",
    },
  },
  {
    name: "an update and its answer with hmac-sha224",
    why: "RFC 8945 section 6",
    input: { algorithm: "hmac-sha224" },
    expect: {
      request: "123428000001000000010001076578616d706c6503636f6d00000600010f5f61636d652d6368616c" +
        "6c656e6765076578616d706c6503636f6d000010000100000078002c2b4c504a4e756c2d776f7734" +
        "6d3644737178626e696e687357486c776670304a656377517a59704f4c6d43510861636d652d6b65" +
        "790000fa00ff0000000000390b686d61632d7368613232340000006553f100012c001c1711f0fb72" +
        "d14676027dd78fdc4949e16bb86d227aec85ff83c2c9b7123400000000",
      mac: "1711f0fb72d14676027dd78fdc4949e16bb86d227aec85ff83c2c9b7",
      answer: "1234a8000001000000000001076578616d706c6503636f6d00000600010861636d652d6b65790000" +
        "fa00ff0000000000390b686d61632d7368613232340000006553f101012c001c6f641cf5eb6696f8" +
        "8c829e6bc1be59293400c8670fd4b3e591adfc30123400000000",
    },
  },
  {
    name: "an update and its answer with hmac-sha256",
    why: "RFC 8945 section 6",
    input: { algorithm: "hmac-sha256" },
    expect: {
      request: "123428000001000000010001076578616d706c6503636f6d00000600010f5f61636d652d6368616c" +
        "6c656e6765076578616d706c6503636f6d000010000100000078002c2b4c504a4e756c2d776f7734" +
        "6d3644737178626e696e687357486c776670304a656377517a59704f4c6d43510861636d652d6b65" +
        "790000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c0020e51dd79ea5" +
        "e100491cf0b2bb5be7373d2e8328ddee33f4062cccf21362301280123400000000",
      mac: "e51dd79ea5e100491cf0b2bb5be7373d2e8328ddee33f4062cccf21362301280",
      answer: "1234a8000001000000000001076578616d706c6503636f6d00000600010861636d652d6b65790000" +
        "fa00ff00000000003d0b686d61632d7368613235360000006553f101012c0020a269d8ffc4ef041d" +
        "abeb25e5184372f4e41ba4ebd65670aad4fdfe3047913ad5123400000000",
    },
  },
  {
    name: "an update and its answer with hmac-sha384",
    why: "RFC 8945 section 6",
    input: { algorithm: "hmac-sha384" },
    expect: {
      request: "123428000001000000010001076578616d706c6503636f6d00000600010f5f61636d652d6368616c" +
        "6c656e6765076578616d706c6503636f6d000010000100000078002c2b4c504a4e756c2d776f7734" +
        "6d3644737178626e696e687357486c776670304a656377517a59704f4c6d43510861636d652d6b65" +
        "790000fa00ff00000000004d0b686d61632d7368613338340000006553f100012c00301650b6a5fa" +
        "a787e191c0525f21a4f70ee2cb18b94a873928c52e59658b303c2685a33ba8dd32bf4970da16c9e9" +
        "f4388e123400000000",
      mac: "1650b6a5faa787e191c0525f21a4f70ee2cb18b94a873928c52e59658b303c2685a33ba8dd32bf49" +
        "70da16c9e9f4388e",
      answer: "1234a8000001000000000001076578616d706c6503636f6d00000600010861636d652d6b65790000" +
        "fa00ff00000000004d0b686d61632d7368613338340000006553f101012c00309e8f498cf17a4f70" +
        "aff20ec9b543908ed768eff67a4d53b20838e8dedec03b3f6f3128b26795d35d72bc865e2e26ecd9" +
        "123400000000",
    },
  },
  {
    name: "an update and its answer with hmac-sha512",
    why: "RFC 8945 section 6",
    input: { algorithm: "hmac-sha512" },
    expect: {
      request: "123428000001000000010001076578616d706c6503636f6d00000600010f5f61636d652d6368616c" +
        "6c656e6765076578616d706c6503636f6d000010000100000078002c2b4c504a4e756c2d776f7734" +
        "6d3644737178626e696e687357486c776670304a656377517a59704f4c6d43510861636d652d6b65" +
        "790000fa00ff00000000005d0b686d61632d7368613531320000006553f100012c0040e21277f4fa" +
        "11b04aa9ab66b901866443d758c3c88c0241f0058f8ef7ea85b58b2d016a5c72855f37cbfd6596f8" +
        "1d793a623fafe20725eeb20afaeb7b78330e7d123400000000",
      mac: "e21277f4fa11b04aa9ab66b901866443d758c3c88c0241f0058f8ef7ea85b58b2d016a5c72855f37" +
        "cbfd6596f81d793a623fafe20725eeb20afaeb7b78330e7d",
      answer: "1234a8000001000000000001076578616d706c6503636f6d00000600010861636d652d6b65790000" +
        "fa00ff00000000005d0b686d61632d7368613531320000006553f101012c0040424631c86057b47b" +
        "d60d4689f1e50b56c7bbc3c7c74b5976148418e76339205564bf66904d97737780743c2c1bdd7210" +
        "10d0bc152e53601c4f3dfdae3cf9f2d7123400000000",
    },
  },
];

/** An answer to the request with hmac-sha256 above, in its parts. */
const HEADER = "1234a800";
const COUNTS = "0001000000000001";
const QUESTION = "076578616d706c6503636f6d0000060001";
const OWNER = "0861636d652d6b657900"; // acme-key
const FIXED = "00fa00ff00000000"; // TSIG, ANY, TTL 0
const ALGORITHM = "0b686d61632d73686132353600"; // hmac-sha256
const TIME = "00006553f101012c";
const MAC = "a269d8ffc4ef041dabeb25e5184372f4e41ba4ebd65670aad4fdfe3047913ad5";
const END = "123400000000"; // original id, no error, no other data
const UNSIGNED = HEADER + "0001000000000000" + QUESTION;
const START = HEADER + COUNTS + QUESTION + OWNER + FIXED;
const SIGNED_ANSWER = START + "003d" + ALGORITHM + TIME + "0020" + MAC + END;

export interface AnswerRow {
  readonly name: string;
  readonly why: string;
  /** `now`: seconds after SIGNED_AT, default 2. */
  readonly input: { readonly answer: string; readonly now?: number };
  /** A part of the message, when it is refused. */
  readonly expect:
    | { readonly rcode: number; readonly error: number; readonly serverTime?: number }
    | string;
}

export const ANSWERS: readonly AnswerRow[] = [
  {
    name: "a signed answer",
    why: "what the other rows change",
    input: { answer: SIGNED_ANSWER },
    expect: { rcode: 0, error: 0 },
  },
  {
    name: "an answer with another id than it was signed with",
    why: "section 4.3.1: forwarders change it, and the original id is what is signed",
    input: { answer: "ffff" + SIGNED_ANSWER.slice(4) },
    expect: { rcode: 0, error: 0 },
  },
  {
    name: "an answer whose key's name is in upper case",
    why: "section 4.3.3: names are signed in canonical form",
    input: { answer: SIGNED_ANSWER.replace("61636d652d6b6579", "41434d452d4b4559") },
    expect: { rcode: 0, error: 0 },
  },
  {
    name: "BADTIME with the server's time",
    why: "section 5.2.3",
    input: {
      answer: "1234a8090001000000000001076578616d706c6503636f6d00000600010861636d652d6b65790000" +
        "fa00ff0000000000430b686d61632d7368613235360000006553f100012c00209b8f15ab340a7c85" +
        "a15757d7d952c65d3d108d5447aeafecf26a728f3a89642b12340012000600006553f5a8",
    },
    expect: { rcode: 9, error: 18, serverTime: 1_700_001_192 },
  },
  {
    name: "BADSIG, which has no MAC",
    why: "section 5.3.2",
    input: {
      answer: START.replace("a800", "a809") + "001d" + ALGORITHM + TIME + "0000123400100000",
    },
    expect: { rcode: 9, error: 16 },
  },
  {
    name: "BADKEY, which has no MAC",
    why: "section 5.2.1",
    input: {
      answer: START.replace("a800", "a809") + "001d" + ALGORITHM + TIME + "0000123400110000",
    },
    expect: { rcode: 9, error: 17 },
  },
  {
    name: "an unsigned refusal",
    why: "servers without TSIG send them",
    input: { answer: UNSIGNED.replace("a800", "a805") },
    expect: { rcode: 5, error: 0 },
  },
  {
    name: "an unsigned answer that it was truncated",
    why: "it only makes us ask by TCP",
    input: { answer: UNSIGNED.replace("a800", "aa00") },
    expect: { rcode: 0, error: 0 },
  },
  {
    name: "an unsigned success",
    why: "anybody can send it",
    input: { answer: UNSIGNED },
    expect: "it isn't signed",
  },
  {
    name: "a success without MAC",
    why: "only BADSIG and BADKEY may come without",
    input: { answer: START + "001d" + ALGORITHM + TIME + "0000" + END },
    expect: "its signature is wrong",
  },
  {
    name: "BADTIME without MAC",
    why: "section 5.2.3: it is signed",
    input: {
      answer: START.replace("a800", "a809") + "001d" + ALGORITHM + TIME + "0000123400120000",
    },
    expect: "its signature is wrong",
  },
  {
    name: "an answer with another rcode than was signed",
    why: "a refusal must not become a success, nor the other way round",
    input: { answer: SIGNED_ANSWER.replace("a800", "a805") },
    expect: "its signature is wrong",
  },
  {
    name: "an answer to another question than was signed",
    why: "all of the message is signed",
    input: { answer: SIGNED_ANSWER.replace("6578616d706c65", "6578616d706c66") },
    expect: "its signature is wrong",
  },
  {
    name: "a MAC of half its length",
    why: "section 5.2.2.1: truncation is a policy that we don't have",
    input: { answer: START + "002d" + ALGORITHM + TIME + "0010" + MAC.slice(0, 32) + END },
    expect: "its signature is wrong",
  },
  {
    name: "a MAC with one bit changed",
    why: "the last one",
    input: { answer: SIGNED_ANSWER.replace(MAC, MAC.slice(0, -1) + "4") },
    expect: "its signature is wrong",
  },
  {
    name: "an error that wasn't signed",
    why: "section 4.3.3: the error is signed too",
    input: { answer: SIGNED_ANSWER.replace(END, "123400120000") },
    expect: "its signature is wrong",
  },
  {
    name: "another key's name",
    why: "section 5.3: the answer's key is the request's",
    input: { answer: SIGNED_ANSWER.replace("61636d652d6b6579", "61636d652d6b657a") },
    expect: "it is signed with another key",
  },
  {
    name: "another algorithm",
    why: "section 5.3",
    input: { answer: SIGNED_ANSWER.replace("736861323536", "736861333834") },
    expect: "it is signed with another key",
  },
  {
    name: "an answer of long ago",
    why: "section 5.2.3: an old answer could be replayed",
    input: { answer: SIGNED_ANSWER, now: 302 },
    expect: "it was signed at another time",
  },
  {
    name: "an answer at the end of the time that clocks may differ",
    why: "the fudge is 300 s, and it was signed at 1 s",
    input: { answer: SIGNED_ANSWER, now: 301 },
    expect: { rcode: 0, error: 0 },
  },
  {
    name: "other data that ends too early",
    why: "lengths are the sender's",
    input: { answer: SIGNED_ANSWER.replace(END, "123400000006") },
    expect: "its TSIG record is damaged",
  },
  {
    name: "a MAC that ends too early",
    why: "lengths are the sender's",
    input: { answer: START + "003d" + ALGORITHM + TIME + "ffff" + MAC + END },
    expect: "its TSIG record is damaged",
  },
  {
    name: "a record that is an algorithm and no more",
    why: "lengths are the sender's",
    input: { answer: START + "000d" + ALGORITHM },
    expect: "its TSIG record is damaged",
  },
  {
    name: "a record without a byte",
    why: "lengths are the sender's",
    input: { answer: START + "0000" },
    expect: "message that ends too early",
  },
  {
    name: "a record after the TSIG",
    why: "section 5.1: it is the last, so what comes after isn't signed",
    input: {
      answer: SIGNED_ANSWER.replace(COUNTS, "0001000000000002") + "0000100001000000000000",
    },
    expect: "it isn't signed",
  },
];
