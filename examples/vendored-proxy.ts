/** A proxy by `lib/http1reader.ts` and what it needs, a request a connection: FROM_PORT TO_PORT */
import { connect, createServer } from "node:net";
import process from "node:process";
import * as http1 from "../lib/http1.ts";
import { MessageReader } from "../lib/http1reader.ts";

const [fromPort, toPort] = process.argv.slice(2).map(Number);
createServer((client) => {
  const reader = new MessageReader(http1.HEAD_LIMITS);
  client.on("error", () => client.destroy()).on("data", function onData(chunk) {
    try {
      reader.push(chunk);
      const text = reader.readHead();
      if (text === undefined) return;
      client.off("data", onData);
      const { method, target, fields } = http1.parseRequestHead(text, http1.HEAD_LIMITS.fields);
      const kept = fields.filter((_, i) => !/^(connection|keep-alive)$/i.test(fields[i & ~1]));
      const upstream = connect(toPort, "127.0.0.1").on("error", () => client.destroy());
      const sent = [...kept, "Via", "1.1 vendored", "Connection", "close"];
      upstream.write(http1.formatRequestHead(method, target, sent), "latin1");
      upstream.write(reader.takeRest());
      client.pipe(upstream).pipe(client);
    } catch (error) {
      const { status = 500, message } = error as http1.Http1Error;
      const fields = ["Content-Length", "0", "Connection", "close"];
      client.end(http1.formatResponseHead(status, message, fields), "latin1");
    }
  });
}).listen(fromPort, "127.0.0.1");
