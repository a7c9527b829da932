/**
 * What a client sends, HELLO left out, and the frames that it gets for it, as `FrameLines` has
 * them, by sections of RFC 9113. The server's first SETTINGS, WINDOW_UPDATE and the acknowledgement
 * of the client's SETTINGS are left out as well.
 */
import { Buffer } from "node:buffer";
import {
  ACK,
  CONTINUATION,
  END_HEADERS,
  END_STREAM,
  HEADERS,
  PADDED,
  PING,
  PRIORITIZED,
  PRIORITY,
  PRIORITY_UPDATE,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../lib/http2.ts";
import {
  block,
  continuation,
  data,
  frame,
  GET,
  goaway,
  headers,
  HELLO,
  open,
  ping,
  POST,
  PREFACE,
  reset,
  settings,
  SETTINGS_ACK,
  to,
  uint32,
  windowUpdate,
} from "../http2wire.ts";

export interface FrameVector {
  readonly name: string;
  readonly why: string;
  /** With the preface, if there is one. */
  readonly input: Buffer;
  readonly expect: readonly string[];
}

function row(
  name: string,
  why: string,
  input: readonly Buffer[],
  ...expect: readonly string[]
): FrameVector {
  return { name, why, input: Buffer.concat([HELLO, ...input]), expect };
}

const PONG = "PING ACK 12345678";
const ANSWER = ["HEADERS 1 200", "DATA 1 hello END"];
const AN_ECHO = to("/echo", POST);
const WAIT = to("/wait"); // never answered
const sized = (size: number, path = "/echo"): string[] => [
  ...[...to(path, POST), "content-length", `${size}`],
];
const LAST = END_STREAM;

const STARTING: readonly FrameVector[] = [
  {
    name: "no preface",
    why: "section 3.4",
    input: Buffer.from("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    expect: ["GOAWAY 0 PROTOCOL_ERROR"],
  },
  {
    name: "a preface that is wrong at its end",
    why: "section 3.4",
    input: Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"),
    expect: ["GOAWAY 0 PROTOCOL_ERROR"],
  },
  {
    name: "half a preface",
    why: "section 3.4: the rest may come",
    input: PREFACE.subarray(0, 11),
    expect: [],
  },
  {
    name: "no SETTINGS",
    why: "section 3.4: they are the preface's second half",
    input: Buffer.concat([PREFACE, headers(1)]),
    expect: ["GOAWAY 0 PROTOCOL_ERROR"],
  },
  {
    name: "an acknowledgement as the first SETTINGS",
    why: "section 3.4",
    input: Buffer.concat([PREFACE, SETTINGS_ACK, headers(1)]),
    expect: ["GOAWAY 0 PROTOCOL_ERROR"],
  },
  row("nothing else", "section 3.4", []),
  row("a request", "section 8.1", [headers(1)], ...ANSWER),
  row("the preface twice", "section 3.4: `PRI` is a frame of 5 MB", [
    PREFACE,
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
];

const FRAMES: readonly FrameVector[] = [
  row("an unknown type", "sections 4.1 and 5.5: ignored", [
    ...[frame(0x2a, 0xff, 0, "x"), frame(0xfb, 0, 7), ping()],
  ], PONG),
  row(
    "flags that a type doesn't have",
    "section 4.1: ignored",
    [
      ...[frame(PING, 0xfe, 0, "12345678"), frame(HEADERS, 0x95 & ~0x20, 1, block(GET))],
    ],
    PONG,
    ...ANSWER,
  ),
  row(
    "the reserved bit",
    "section 4.1: ignored",
    [
      ...[frame(HEADERS, END_HEADERS | LAST, 0x8000_0001, block(GET)), ping()],
    ],
    ...ANSWER,
    PONG,
  ),
  row(
    "DATA of 16,384 bytes",
    "section 4.2: the least that everybody takes",
    [
      ...[open(1, AN_ECHO), data(1, "a".repeat(16_384), LAST)],
    ],
    "HEADERS 1 200",
    "DATA 1 16384 END",
  ),
  row("DATA of 16,385 bytes", "section 4.2", [
    ...[open(1, AN_ECHO), data(1, "a".repeat(16_385), LAST)],
  ], "GOAWAY 1 FRAME_SIZE_ERROR"),
  row("HEADERS of 16,385 bytes", "section 4.2", [
    frame(HEADERS, END_HEADERS | LAST, 1, "a".repeat(16_385)),
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
  row("the head of a frame of 16 MB", "section 4.2: refused before it comes", [
    frame(0x2a, 0, 0, "", 0xff_ffff),
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
  row("a block that can't be decoded", "section 4.3", [
    frame(HEADERS, END_HEADERS | LAST, 1, "\x40\xff\xff\xff\xff\xff"),
  ], "GOAWAY 0 COMPRESSION_ERROR"),
  row("a trailing block that can't be decoded", "section 4.3", [
    ...[open(1, AN_ECHO), frame(HEADERS, END_HEADERS | LAST, 1, "\xff\xff")],
  ], "GOAWAY 1 COMPRESSION_ERROR"),
  row("an index of nothing", "RFC 7541 section 2.3.3", [
    frame(HEADERS, END_HEADERS | LAST, 1, "\x82\xc6"),
  ], "GOAWAY 0 COMPRESSION_ERROR"),
  row("a table size over the setting", "RFC 7541 section 6.3", [
    frame(HEADERS, END_HEADERS | LAST, 1, "\x3f\xe2\x1f\x82"),
  ], "GOAWAY 0 COMPRESSION_ERROR"),
  row("PRIORITY between HEADERS and CONTINUATION", "section 4.3: one block, nothing in it", [
    ...[frame(HEADERS, LAST, 1, block(GET)), frame(PRIORITY, 0, 1, uint32(0, 0).subarray(0, 5))],
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("HEADERS of another stream in a block", "section 4.3", [
    ...[frame(HEADERS, LAST, 1, block(GET)), headers(3)],
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("an unknown type in a block", "sections 4.3 and 5.5", [
    ...[frame(HEADERS, LAST, 1, block(GET)), frame(0x2a, 0, 1)],
  ], "GOAWAY 0 PROTOCOL_ERROR"),
];

const IDLE: readonly FrameVector[] = (
  [["DATA", data(1, "a")], ["RST_STREAM", reset(1)], ["WINDOW_UPDATE", windowUpdate(1, 100)]]
    .concat([["DATA on an even stream", data(2, "a")], ["CONTINUATION", continuation(1, "")]])
    .concat([["WINDOW_UPDATE on an even stream", windowUpdate(2, 1)]]) as [string, Buffer][]
).map(([name, bytes]) => row(`idle: ${name}`, "section 5.1", [bytes], "GOAWAY 0 PROTOCOL_ERROR"));

const STATES: readonly FrameVector[] = [
  ...IDLE,
  row("idle: PRIORITY", "section 5.1: allowed in any state", [
    ...[frame(PRIORITY, 0, 5, uint32(0, 0).subarray(0, 5)), headers(1)],
  ], ...ANSWER),
  row(
    "half-closed: DATA",
    "section 5.1",
    [
      ...[headers(1, WAIT), data(1, "a"), ping()],
    ],
    "RST_STREAM 1 STREAM_CLOSED",
    PONG,
  ),
  row(
    "half-closed: HEADERS",
    "section 5.1",
    [
      ...[headers(1, WAIT), headers(1, WAIT), ping()],
    ],
    "RST_STREAM 1 STREAM_CLOSED",
    PONG,
  ),
  row("half-closed: CONTINUATION", "sections 5.1 and 6.10", [
    ...[headers(1, WAIT), continuation(1, "", END_HEADERS)],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row("half-closed: WINDOW_UPDATE, PRIORITY, RST_STREAM", "section 5.1: allowed", [
    ...[headers(1, WAIT), windowUpdate(1, 1), frame(PRIORITY, 0, 1, uint32(0, 0).subarray(0, 5))],
    ...[reset(1), ping()],
  ], PONG),
  ...([["DATA", data(1, "a")], ["HEADERS", headers(1)]] as const).flatMap(([name, bytes]) => [
    row(`closed by RST_STREAM: ${name}`, "section 5.1", [
      ...[open(1, WAIT), reset(1), bytes],
    ], "GOAWAY 1 STREAM_CLOSED"),
    row(
      `closed by END_STREAM: ${name}`,
      "section 5.1",
      [
        ...[headers(1), bytes],
      ],
      ...ANSWER,
      "GOAWAY 1 STREAM_CLOSED",
    ),
  ]),
  row("closed by RST_STREAM: CONTINUATION", "section 5.1", [
    ...[open(1, WAIT), reset(1), continuation(1, "")],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row(
    "closed: PRIORITY, WINDOW_UPDATE, RST_STREAM",
    "section 5.1: they may come late",
    [
      ...[headers(1), frame(PRIORITY, 0, 1, uint32(0, 0).subarray(0, 5))],
      ...[windowUpdate(1, 1), windowUpdate(1, 0), reset(1), ping()],
    ],
    ...ANSWER,
    PONG,
  ),
  row(
    "closed by us: what was on its way",
    "section 5.1: ignored, but decoded",
    [
      ...[open(1), data(1, "a"), data(1, "b", LAST), headers(3)],
    ],
    ...ANSWER,
    "RST_STREAM 1 NO_ERROR",
    "HEADERS 3 200",
    "DATA 3 hello END",
  ),
  row("an even stream", "section 5.1.1", [headers(2)], "GOAWAY 0 PROTOCOL_ERROR"),
  row("a stream lower than the last", "section 5.1.1", [
    ...[headers(5), headers(3)],
  ], ...["HEADERS 5 200", "DATA 5 hello END", "GOAWAY 5 PROTOCOL_ERROR"]),
  row("DATA on a stream that was left out", "section 5.1.1: it is closed", [
    ...[headers(5), data(3, "a")],
  ], ...["HEADERS 5 200", "DATA 5 hello END", "GOAWAY 5 STREAM_CLOSED"]),
  row(
    "more streams than allowed",
    "section 5.1.2",
    [
      ...Array.from({ length: 101 }, (_, i) => headers(2 * i + 1, WAIT)),
      ping(),
    ],
    "RST_STREAM 201 REFUSED_STREAM",
    PONG,
  ),
  row(
    "streams that ended make room",
    "section 5.1.2",
    [
      ...Array.from({ length: 100 }, (_, i) => headers(2 * i + 1, WAIT)),
      ...[reset(7), headers(201)],
    ],
    "HEADERS 201 200",
    "DATA 201 hello END",
  ),
  row(
    "a stream that depends on itself",
    "RFC 7540 section 5.3.1",
    [
      ...[
        frame(
          HEADERS,
          END_HEADERS | PRIORITIZED | LAST,
          1,
          Buffer.concat([
            uint32(1),
            Buffer.from([0]),
            block(GET),
          ]),
        ),
        ping(),
      ],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
  row(
    "PRIORITY that makes a stream depend on itself",
    "RFC 7540 section 5.3.1",
    [
      ...[headers(1, WAIT), frame(PRIORITY, 0, 1, uint32(1, 0).subarray(0, 5)), ping()],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
];

const TYPES: readonly FrameVector[] = [
  row("DATA on stream 0", "section 6.1", [data(0, "a")], "GOAWAY 0 PROTOCOL_ERROR"),
  row(
    "DATA with padding",
    "section 6.1",
    [
      ...[open(1, AN_ECHO), data(1, "\x02hi\0\0", PADDED), data(1, "\0!", PADDED | LAST)],
    ],
    "HEADERS 1 200",
    "DATA 1 hi! END",
  ),
  row(
    "DATA of padding alone",
    "section 6.1",
    [
      ...[open(1, AN_ECHO), data(1, "\x02\0\0", PADDED), data(1, "x", LAST)],
    ],
    "HEADERS 1 200",
    "DATA 1 x END",
  ),
  row("more padding than DATA", "section 6.1", [
    ...[open(1, AN_ECHO), data(1, "\x06hello", PADDED)],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row("DATA without the padding's length", "section 6.1", [
    ...[open(1, AN_ECHO), data(1, "", PADDED)],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row("HEADERS on stream 0", "section 6.2", [headers(0)], "GOAWAY 0 PROTOCOL_ERROR"),
  row("HEADERS with padding and a priority", "section 6.2: both are taken off", [
    frame(
      HEADERS,
      END_HEADERS | LAST | PADDED | PRIORITIZED,
      1,
      Buffer.concat([
        ...[Buffer.from([3]), uint32(0x8000_0003), Buffer.from([255]), block(GET), Buffer.alloc(3)],
      ]),
    ),
  ], ...ANSWER),
  row("more padding than HEADERS", "section 6.2", [
    frame(HEADERS, END_HEADERS | LAST | PADDED, 1, "\x02\x82"),
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("HEADERS shorter than their priority", "section 6.2", [
    frame(HEADERS, END_HEADERS | LAST | PRIORITIZED, 1, "\0\0\0\0"),
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
  row("PRIORITY on stream 0", "section 6.3", [
    frame(PRIORITY, 0, 0, uint32(0, 0).subarray(0, 5)),
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row(
    "PRIORITY of 4 bytes",
    "section 6.3: an error of the stream",
    [
      ...[headers(1, WAIT), frame(PRIORITY, 0, 1, uint32(0)), ping()],
    ],
    "RST_STREAM 1 FRAME_SIZE_ERROR",
    PONG,
  ),
  row("RST_STREAM on stream 0", "section 6.4", [reset(0)], "GOAWAY 0 PROTOCOL_ERROR"),
  row("RST_STREAM of 3 bytes", "section 6.4", [
    ...[headers(1, WAIT), frame(RST_STREAM, 0, 1, "\0\0\0")],
  ], "GOAWAY 1 FRAME_SIZE_ERROR"),
  row("SETTINGS on a stream", "section 6.5", [
    ...[headers(1, WAIT), frame(SETTINGS, 0, 1)],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row("SETTINGS of 3 bytes", "section 6.5", [
    frame(SETTINGS, 0, 0, "\0\x03\0"),
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
  row("an acknowledgement with settings", "section 6.5", [
    frame(SETTINGS, ACK, 0, "\0\x03\0\0\0\x01"),
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
  row("SETTINGS are acknowledged, known or not", "sections 6.5.2 and 6.5.3", [
    settings(1, 0, 2, 1, 3, 7, 5, 0xff_ffff, 6, 1, 0xabcd, 0xffff_ffff, 8, 1, 9, 1),
  ], "SETTINGS ACK"),
  ...([[2, 2], [5, 16_383], [5, 0x100_0000], [8, 2], [9, 2]] as const).map(([id, value]) =>
    row(`the setting ${id} of ${value}`, "section 6.5.2 and RFCs 8441, 9218", [
      settings(id, value),
    ], "GOAWAY 0 PROTOCOL_ERROR")
  ),
  row("a first window of 2^31", "section 6.5.2", [
    settings(4, 0x8000_0000),
  ], "GOAWAY 0 FLOW_CONTROL_ERROR"),
  row("PUSH_PROMISE", "section 8.4: clients don't push", [
    ...[
      headers(1, WAIT),
      frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([uint32(2), block(GET)])),
    ],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row("PING", "section 6.7", [ping("\0\x01\xff45678")], "PING ACK \0\x01\xff45678"),
  row("the answer to no PING", "section 6.7: ignored", [
    ...[frame(PING, ACK, 0, "87654321"), ping()],
  ], PONG),
  row("PING on a stream", "section 6.7", [
    frame(PING, 0, 1, "12345678"),
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("PING of 6 bytes", "section 6.7", [ping("123456")], "GOAWAY 0 FRAME_SIZE_ERROR"),
  row(
    "GOAWAY with an unknown code",
    "sections 6.8 and 7: no special behaviour",
    [
      ...[headers(1, WAIT), goaway(0xff), ping()],
    ],
    "GOAWAY 1 NO_ERROR",
    PONG,
  ),
  row(
    "GOAWAY without a stream open",
    "section 6.8",
    [
      ...[headers(1), goaway()],
    ],
    ...ANSWER,
    "GOAWAY 1 NO_ERROR",
  ),
  row("GOAWAY on a stream", "section 6.8", [
    ...[headers(1, WAIT), frame(7, 0, 1, uint32(0, 0))],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row(
    "a request behind GOAWAY",
    "section 6.8: it isn't answered",
    [
      ...[headers(1, WAIT), goaway(), headers(3)],
    ],
    "GOAWAY 1 NO_ERROR",
    "RST_STREAM 3 REFUSED_STREAM",
  ),
  row("CONTINUATION", "section 6.10", [
    ...[frame(HEADERS, LAST, 1, block(GET).subarray(0, 20))],
    ...[continuation(1, block(GET).subarray(20, 21)), continuation(1, "")],
    continuation(1, block(GET).subarray(21), END_HEADERS),
  ], ...ANSWER),
  row("CONTINUATION behind END_HEADERS", "section 6.10", [
    ...[headers(1, WAIT), continuation(1, block(["a", "b"]), END_HEADERS)],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row("CONTINUATION of another stream", "section 6.10", [
    ...[frame(HEADERS, LAST, 1, block(GET)), continuation(3, "", END_HEADERS)],
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("CONTINUATION on stream 0", "section 6.10", [
    ...[frame(HEADERS, LAST, 1, block(GET)), frame(CONTINUATION, END_HEADERS, 0)],
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("CONTINUATION behind DATA", "section 6.10", [
    ...[open(1, AN_ECHO), data(1, "a"), continuation(1, "", END_HEADERS)],
  ], "GOAWAY 1 PROTOCOL_ERROR"),
  row("PRIORITY_UPDATE", "RFC 9218 section 7.1", [
    ...[frame(PRIORITY_UPDATE, 0, 0, Buffer.concat([uint32(1), Buffer.from("u=0, i")])), ping()],
  ], PONG),
  row("PRIORITY_UPDATE for stream 0", "RFC 9218 section 7.1", [
    frame(PRIORITY_UPDATE, 0, 0, uint32(0)),
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("PRIORITY_UPDATE on a stream", "RFC 9218 section 7.1", [
    frame(PRIORITY_UPDATE, 0, 1, uint32(1)),
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row("PRIORITY_UPDATE of 3 bytes", "RFC 9218 section 7.1", [
    frame(PRIORITY_UPDATE, 0, 0, "\0\0\0"),
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
];

const WINDOWS: readonly FrameVector[] = [
  row(
    "a window of one byte",
    "section 6.9.1",
    [
      ...[settings(4, 1), headers(1)],
    ],
    "SETTINGS ACK",
    "HEADERS 1 200",
    "DATA 1 h",
  ),
  row(
    "no window, and then one",
    "section 6.9.2: the change goes for open streams",
    [
      ...[settings(4, 0), headers(1), settings(4, 2), settings(4, 3)],
    ],
    "SETTINGS ACK",
    "HEADERS 1 200",
    "SETTINGS ACK",
    "DATA 1 he",
    "SETTINGS ACK",
    "DATA 1 l",
  ),
  row(
    "a window below zero",
    "section 6.9.2: it has to be opened past it",
    [
      ...[
        settings(4, 3),
        headers(1),
        settings(4, 1),
        windowUpdate(1, 2),
        ping(),
        windowUpdate(1, 1),
      ],
    ],
    "SETTINGS ACK",
    "HEADERS 1 200",
    "DATA 1 hel",
    "SETTINGS ACK",
    PONG,
    "DATA 1 l",
  ),
  row(
    "the last of several values",
    "section 6.5.3",
    [
      ...[settings(4, 100, 4, 1), headers(1)],
    ],
    "SETTINGS ACK",
    "HEADERS 1 200",
    "DATA 1 h",
  ),
  row(
    "an answer without a body needs no window",
    "section 6.9.1",
    [
      ...[settings(4, 0), headers(1, GET.with(1, "HEAD")), headers(3, to("/empty"))],
    ],
    "SETTINGS ACK",
    "HEADERS 1 200 END",
    "HEADERS 3 204 END",
  ),
  row(
    "trailers need no window",
    "section 6.9",
    [
      ...[settings(4, 1), open(1, AN_ECHO), data(1, "a"), headers(1, ["x", "y"])],
    ],
    "SETTINGS ACK",
    "HEADERS 1 200",
    "DATA 1 a",
    "HEADERS 1 trailers END",
  ),
  row("WINDOW_UPDATE by 0 for the connection", "section 6.9", [
    windowUpdate(0, 0),
  ], "GOAWAY 0 PROTOCOL_ERROR"),
  row(
    "WINDOW_UPDATE by 0 for a stream",
    "section 6.9",
    [
      ...[headers(1, WAIT), windowUpdate(1, 0), ping()],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
  row("WINDOW_UPDATE of 3 bytes", "section 6.9", [
    frame(WINDOW_UPDATE, 0, 0, "\0\0\x01"),
  ], "GOAWAY 0 FRAME_SIZE_ERROR"),
  row(
    "WINDOW_UPDATE with the reserved bit",
    "section 6.9: ignored",
    [
      ...[settings(4, 0), headers(1), windowUpdate(1, 0x8000_0005)],
    ],
    "SETTINGS ACK",
    "HEADERS 1 200",
    "DATA 1 hello END",
  ),
  row("a window over 2^31-1 for the connection", "section 6.9.1", [
    ...[windowUpdate(0, 0x7fff_ffff), windowUpdate(0, 0x7fff_ffff)],
  ], "GOAWAY 0 FLOW_CONTROL_ERROR"),
  row(
    "a window over 2^31-1 for a stream",
    "section 6.9.1",
    [
      ...[headers(1, WAIT), windowUpdate(1, 0x7fff_ffff), ping()],
    ],
    "RST_STREAM 1 FLOW_CONTROL_ERROR",
    PONG,
  ),
  row(
    "a window over 2^31-1 by SETTINGS",
    "section 6.9.2: an error of the connection",
    [
      ...[headers(1, WAIT), windowUpdate(1, 0x7fff_0000), settings(4, 0x1_ffff)],
    ],
    "SETTINGS ACK",
    "GOAWAY 1 FLOW_CONTROL_ERROR",
  ),
  row(
    "more DATA than a stream's window",
    "section 6.9.1",
    [
      open(1, to("/slow", POST)),
      ...Array.from({ length: 4 }, () => data(1, "a".repeat(16_384))),
      ping(),
    ],
    "RST_STREAM 1 FLOW_CONTROL_ERROR",
    PONG,
  ),
  row(
    "padding counts for windows, and comes back",
    "section 6.9.1",
    [
      open(1, AN_ECHO),
      ...Array.from({ length: 256 }, () => data(1, "\xff" + "\0".repeat(255), PADDED)),
      ping(),
    ],
    "WINDOW_UPDATE 1 +229376",
    PONG,
  ),
];

const MESSAGES: readonly FrameVector[] = [
  row(
    "HEADERS in the middle of a request",
    "section 8.1",
    [
      ...[open(1, AN_ECHO), open(1, ["a", "b"]), ping()],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
  row(
    "trailers",
    "section 8.1",
    [
      ...[open(1, AN_ECHO), data(1, "abc"), headers(1, ["x-t", "1"])],
    ],
    "HEADERS 1 200",
    "DATA 1 abc",
    "HEADERS 1 trailers END",
  ),
  ...[["X-T", "1"], ["x", "a\r\nb"], [":path", "/"], [":status", "200"], ["te", "x"]]
    .concat([["connection", "close"], ["transfer-encoding", "chunked"], ["", "a"]])
    .map((trailers) =>
      row(
        `a trailer ${JSON.stringify(trailers)}`,
        "section 8.1 and 8.2",
        [
          ...[open(1, AN_ECHO), headers(1, trailers), ping()],
        ],
        "RST_STREAM 1 PROTOCOL_ERROR",
        PONG,
      )
    ),
  row(
    "a malformed request",
    "section 8.1.1",
    [
      ...[headers(1, [...GET, "X", "y"]), headers(3)],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    "HEADERS 3 200",
    "DATA 3 hello END",
  ),
  row(
    "a body of its length",
    "section 8.1.1",
    [
      ...[open(1, sized(5)), data(1, "he"), data(1, "llo"), data(1, "", LAST)],
    ],
    "HEADERS 1 200",
    "DATA 1 hello END",
  ),
  row(
    "a body over its length",
    "section 8.1.1",
    [
      ...[open(1, sized(1)), data(1, "ab"), ping()],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
  row(
    "a body short of its length",
    "section 8.1.1",
    [
      ...[open(1, sized(9)), data(1, "hello", LAST), ping()],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
  row(
    "DATA of several frames short of the length",
    "section 8.1.1",
    [
      ...[open(1, sized(9)), data(1, "he"), data(1, "llo"), headers(1, ["a", "b"]), ping()],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
  row("a length of 0, and END_STREAM later", "section 8.1.1", [
    ...[open(1, sized(0, "/wait")), data(1, "", LAST), ping()],
  ], PONG),
  row(
    "a length of 0, and DATA",
    "section 8.1.1",
    [
      ...[open(1, sized(0, "/wait")), data(1, "a", LAST), ping()],
    ],
    "RST_STREAM 1 PROTOCOL_ERROR",
    PONG,
  ),
  row(
    "an answer before the request's end",
    "section 8.1: the client may stop",
    [
      ...[open(1), ping()],
    ],
    ...ANSWER,
    "RST_STREAM 1 NO_ERROR",
    PONG,
  ),
  row(
    "an interim answer",
    "section 8.1",
    [
      headers(1, to("/hints")),
    ],
    "HEADERS 1 103",
    ...ANSWER,
  ),
  row(
    "CONNECT",
    "section 8.5: there is no tunnel to ask for",
    [
      open(1, [":method", "CONNECT", ":authority", "a.example:443"]),
    ],
    "HEADERS 1 501",
    "DATA 1 173 END",
    "RST_STREAM 1 NO_ERROR",
  ),
  row(
    "extended CONNECT for what isn't known",
    "RFC 9220 section 3",
    [
      open(1, [...GET.with(1, "CONNECT"), ":protocol", "connect-udp"]),
    ],
    "HEADERS 1 501",
    "DATA 1 173 END",
    "RST_STREAM 1 NO_ERROR",
  ),
  row(
    "another scheme",
    "section 9.1.2",
    [
      headers(1, GET.with(3, "http")),
    ],
    "HEADERS 1 421",
    "DATA 1 183 END",
  ),
];

export const frameVectors: readonly FrameVector[] = [
  ...[...STARTING, ...FRAMES, ...STATES, ...TYPES, ...WINDOWS, ...MESSAGES],
];
